package config

import "time"

// Update says how the agent updates itself. What it updates to is signed, and named by a
// policy, a command or whoever stands before the node.
type Update struct {
	// Folder is looked into for a release, such as where a stick is mounted; empty: none is.
	Folder string `json:"folder"`
	// ConfirmAfter is how long a new version must be well without a break to be kept.
	ConfirmAfter Duration `json:"confirmAfter"`
}

// updateSettings are how the agent updates itself.
func updateSettings() []setting {
	return []setting{
		{"update.folder", false, "folder that is looked into for a signed release of the agent, such as where a stick is mounted; empty: none is",
			pathField(func(c *Config) *string { return &c.Update.Folder }, "a folder", true)},
		{"update.confirmAfter", false, "how long a new version of the agent must be well without a break to be kept; three times as long without it, and the version before runs again",
			durationField(func(c *Config) *Duration { return &c.Update.ConfirmAfter }, Duration(time.Second), longest, "10m")},
	}
}
