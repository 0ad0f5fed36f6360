package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"holdfast/edge"
	"holdfast/edge/config"
	"holdfast/mqtt"
)

// maxPassword is beyond what MQTT brokers take for one.
const maxPassword = 4096

// credentials gives the password of a broker, read anew each time: from the file the
// configuration names, else from systemd's credential of that name.
func credentials(from config.Broker, name string, getenv func(string) string) func() (user, password string, err error) {
	return func() (string, string, error) {
		path := from.PasswordFile
		if folder := getenv("CREDENTIALS_DIRECTORY"); path == "" && folder != "" {
			if given := filepath.Join(folder, name); exists(given) {
				path = given
			}
		}
		if path == "" {
			return from.User, "", nil
		}
		password, err := readPassword(path)
		return from.User, password, err
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// readPassword reads a file with one line.
func readPassword(path string) (string, error) {
	text, err := readRegular(path, maxPassword)
	if err != nil {
		return "", fmt.Errorf("cannot read password: %w", err)
	}
	password := strings.TrimRight(string(text), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", edge.WithHint(
			fmt.Errorf("cannot read password %q: it is not one line: %w", path, edge.ErrInvalid),
			"write the password, and nothing else, into the file")
	}
	return password, nil
}

// certificates names the files by which broker and node believe each other.
func certificates(from config.Broker) mqtt.TLS {
	return mqtt.TLS{CA: from.CA, Certificate: from.Certificate, Key: from.Key}
}
