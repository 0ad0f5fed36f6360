package config

// Diff names the keys whose values differ: those that can take effect while the
// agent runs, and those that need it restarted.
func Diff(old, new Config) (live, needsRestart []string) {
	for _, s := range settings() {
		switch {
		case s.get(&old) == s.get(&new):
		case s.live:
			live = append(live, s.key)
		default:
			needsRestart = append(needsRestart, s.key)
		}
	}
	return live, needsRestart
}

// Live is the configuration in force with what of the loaded one can take effect
// while the agent runs.
func Live(inForce, loaded Config) Config {
	inForce.Log.Level = loaded.Log.Level
	inForce.Workloads = loaded.Workloads
	inForce.Images = loaded.Images
	inForce.API.TokenFile = loaded.API.TokenFile
	classes, from := &inForce.Scheduler.Classes, loaded.Scheduler.Classes
	classes.Urgent.Deadline = from.Urgent.Deadline
	classes.Normal.Deadline = from.Normal.Deadline
	classes.Batch.Deadline = from.Batch.Deadline
	return inForce
}

// Key describes one key there is.
type Key struct {
	Key      string `json:"key"`
	Default  string `json:"default"`
	Variable string `json:"variable"`
	Live     bool   `json:"live"` // a change takes effect without a restart
	Doc      string `json:"doc"`
	Wants    string `json:"wants"`
}

// Keys lists every key there is, in the order a person reads them.
func Keys() []Key {
	defaults := Default()
	var keys []Key
	for _, s := range settings() {
		keys = append(keys, Key{s.key, s.get(&defaults), variable(s.key), s.live, s.doc, s.wants})
	}
	return keys
}
