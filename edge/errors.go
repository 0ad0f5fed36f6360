package edge

import "errors"

// Conditions a caller may branch on. Wrap them with what and where.
var (
	// ErrNotFound: the named thing does not exist here.
	ErrNotFound = errors.New("not found")
	// ErrExists: the named thing exists already.
	ErrExists = errors.New("already exists")
	// ErrInvalid: the input is wrong and repeating it will not help.
	ErrInvalid = errors.New("invalid")
	// ErrUnavailable: the thing that should answer is down for now; trying again
	// later may help.
	ErrUnavailable = errors.New("unavailable")
	// ErrNoRoom: the disk is full, or must not be filled further. It is ErrUnavailable
	// too: once there is room, trying again will help.
	ErrNoRoom error = noRoom{}
	// ErrWrongPlatform: an image holds nothing for this machine's architecture.
	ErrWrongPlatform = errors.New("no content for this platform")
	// ErrModel: the model instance answered with an error or with something that
	// is not an answer.
	ErrModel = errors.New("model error")
	// ErrDeadline: the deadline passed before there was an answer.
	ErrDeadline = errors.New("deadline passed")
	// ErrCancelled: the caller gave up.
	ErrCancelled = errors.New("cancelled by caller")
	// ErrLocked: another agent holds the state folder.
	ErrLocked = errors.New("state is held by another agent")
)

type noRoom struct{}

func (noRoom) Error() string { return "no room on the disk" }
func (noRoom) Unwrap() error { return ErrUnavailable }

// hinted carries what a person can do about an error beside the error.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// WithHint adds a remedy for the person who reads the error. The text of the
// error stays as it is; the command line prints the hint on a line of its own.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err: err, hint: hint}
}

// HintOf returns the outermost remedy in an error chain, or nothing.
func HintOf(err error) string {
	var h *hinted
	if errors.As(err, &h) {
		return h.hint
	}
	return ""
}
