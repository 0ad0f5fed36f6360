package top

import (
	"time"

	"holdfast/edge"
)

// Message is what changes a State: one of the types below, or of what the agent
// tells: edge.LiveHello, History, edge.Sample, edge.Status, edge.LiveTasks, edge.Event.
type Message any

// History is what was measured before the stream began.
type History struct {
	Samples []edge.Sample `json:"samples"`
}

// Tick tells the time.
type Tick struct{ At time.Time }

// Gone is that the stream ended, or could not begin.
type Gone struct{ Err error }

// LogText is what a workload has printed since the last.
type LogText struct {
	Target string
	Lines  []string
}

// LogEnded is that no more of it comes.
type LogEnded struct {
	Target string
	Err    error
}

// Key is one that was pressed.
type Key string

// The keys that mean something; others are ignored.
const (
	KeyQuit      Key = "q"
	KeyInterrupt Key = "ctrl+c"
	KeyHelp      Key = "?"
	KeyNext      Key = "tab"
	KeyBefore    Key = "shift+tab"
	KeyUp        Key = "up"
	KeyDown      Key = "down"
	KeyPageUp    Key = "pgup"
	KeyPageDown  Key = "pgdown"
	KeyHome      Key = "home"
	KeyEnd       Key = "end"
	KeyLogs      Key = "l"
	KeyPause     Key = "p"
	KeyEscape    Key = "esc"
)

// Wish is what a state wants its caller to do; at most one of them.
type Wish struct {
	Quit     bool
	OpenLogs string // of this workload
	EndLogs  bool
}
