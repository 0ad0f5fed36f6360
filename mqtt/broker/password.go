package broker

import (
	"bufio"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"holdfast/edge"
)

// A line of the password file is user:$7$rounds$salt$hash, where hash is PBKDF2 with
// SHA-512, 64 bytes, and salt and hash are in base64: mosquitto's format.
const (
	hashKind  = "7"
	hashBytes = sha512.Size
	saltBytes = 12
	// rounds is what we write; reading bounds what a file may make us compute.
	rounds     = 20_000
	mostRounds = 1_000_000
	// maxUsers is the size of a password file beyond which it is something else.
	maxUsers = 1 << 20
)

// HashPassword returns the line of the password file for a user.
func HashPassword(user, password string) (string, error) {
	if user == "" || strings.ContainsAny(user, ":\r\n") || len(user) > 256 {
		return "", fmt.Errorf("cannot use user name %.80q: %w", user, edge.ErrInvalid)
	}
	salt := make([]byte, saltBytes)
	rand.Read(salt)
	hash, err := pbkdf2.Key(sha512.New, password, salt, rounds, hashBytes)
	if err != nil {
		return "", fmt.Errorf("cannot hash password: %w", err)
	}
	text := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s:$%s$%d$%s$%s", user, hashKind, rounds, text(salt), text(hash)), nil
}

// checkPassword looks a user up in the file as it is now.
func checkPassword(file, user, password string) (bool, error) {
	f, err := os.Open(file)
	if err != nil {
		return false, fmt.Errorf("cannot open password file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > maxUsers {
		return false, fmt.Errorf("cannot read password file %q: larger than %d bytes: %w", file, maxUsers, edge.ErrInvalid)
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, hash, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if !ok || name != user || strings.HasPrefix(name, "#") {
			continue
		}
		return proves(hash, password)
	}
	if err := lines.Err(); err != nil {
		return false, fmt.Errorf("cannot read password file: %w", err)
	}
	return false, nil
}

// proves tells whether a password has the hash.
func proves(line, password string) (bool, error) {
	bad := errors.New("cannot read a hash in password file: want $7$rounds$salt$hash, as mosquitto_passwd writes it")
	parts := strings.Split(line, "$")
	if len(parts) != 5 || parts[0] != "" || parts[1] != hashKind {
		return false, bad
	}
	n, err := strconv.Atoi(parts[2])
	salt, errSalt := base64.StdEncoding.DecodeString(parts[3])
	want, errHash := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || errSalt != nil || errHash != nil || n < 1 || n > mostRounds || len(want) != hashBytes {
		return false, bad
	}
	got, err := pbkdf2.Key(sha512.New, password, salt, n, hashBytes)
	if err != nil {
		return false, fmt.Errorf("cannot hash password: %w", err)
	}
	return subtle.ConstantTimeCompare(got, want) == 1, nil
}
