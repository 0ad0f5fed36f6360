// Package sitelink owns the link to a site's own broker, where cameras and machines
// live: by the triggers of the policy it turns messages into tasks, and publishes
// what became of them.
//
// # Promises
//
//   - Every message that a trigger matches gets one verdict for each such trigger: an
//     answer, or a reason. What cannot be turned into a tensor is refused, never
//     guessed at.
//   - A message is acknowledged when all its verdicts are with the broker, or of no
//     more use. So one that we held when the process died comes again, and is
//     answered again: at least once. Its verdict then says duplicate.
//   - A message that comes again while we hold it, or lately did, makes no second task.
//   - Messages inside, their bytes, the verdicts that wait and what is remembered of
//     former messages are all bounded; where there is no room the sender is told
//     queue_full at once.
//   - Retained messages make no tasks: they are from the past, and would be computed
//     again at every connection. They are counted.
//   - Nothing is published to a topic that a trigger matches.
//
// # Concurrency
//
// Run alone starts goroutines, and returns after all have ended. Everything else may
// be called from any goroutine at any time. Each task has a goroutine while it is
// inside; messages are examined one at a time, no more of them in a second than
// Options.Rate. No lock is held across a task, a callback or the network.
//
// # Failure
//
// Without a broker the session tries again for ever and Status says why. Verdicts
// then wait, until their deadline and VerdictLife have passed. Triggers that cannot be
// served are warnings, and do not keep the others from working. When Run ends, tasks
// that have not settled are given up without a verdict; their messages are not
// acknowledged and come again.
//
// # Testing
//
// Against a broker of raw bytes in virtual time, our own broker, and a real mosquitto
// that is restarted in the middle of a stream; each property has a control that
// breaks it.
package sitelink
