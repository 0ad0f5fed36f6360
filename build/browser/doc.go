// Package browser tries the page in a real browser.
//
// It owns what can only be seen there: that a person finds the words that fit what the
// node is doing, that names cannot become markup, that the page stays small and quick
// under a thousand tasks a second, survives a restart of the agent and a clock that is
// set, and can be used by keyboard, on a phone and in the dark.
//
// A stage is the real local API before a node that is played: a small simulation of
// slots, queues and a link, with a knob for everything that can go wrong. The last scene
// is the real agent, as a process of its own. A script in checks/ looks at each scene in
// headless Chromium and says what it found; every scene of the script is a test here.
//
// # Failure
//
// A browser, Node or package that is missing is a failure that says how it is installed,
// never a skipped test.
//
// # Testing
//
// Checks that compare (markup, contrast, overflow, names of controls) are tried on a
// document that is wrong, too.
package browser
