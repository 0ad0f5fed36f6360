// Package commands carries out what the fleet asks for, each command once. It owns the
// way of a command from the bytes that came to its final reply:
//
//	bytes ─ Accept ─▶ trust ─▶ journal.Take ──▶ waiting ──▶ journal.Begin ──▶ effect ──▶ journal.Finish
//	          │         │          │ received      │ expired     │ started        │          │ final
//	          ▼         ▼          ▼               ▼ refused     ▼ indeterminate  ▼          ▼
//	       slowed   told, or    the reply       superseded    after a crash     cancelled   told by the
//	       down     silence     it had                                                     stream
//
// It promises that
//
//   - a command that Accept returned nil for, and that was taken, comes to exactly one
//     final reply, whatever is cut off meanwhile;
//   - no effect begins before it is on flash that it will, and none is repeated after a
//     crash unless its verb says that it may be;
//   - the same command again gets the same reply and has no second effect;
//   - nobody is answered who could not have a document signed by the command role and
//     addressed to this node; everything refused is counted, and reported at a rate
//     that whoever sends junk cannot drive up;
//   - refresh, vitals, logs and cancel wait for nothing that takes long, and what an
//     issuer asks for begins in the order it was taken, but for verbs that take long.
//
// Accept returns when the command is on flash as received, not when it is final: what
// was received is carried out after any crash, so the message may be acknowledged, and
// neither an hour's pull nor a second's restart holds up those behind it.
//
// A reply whose way is the stream is durable. What goes through Options.Progress may be
// lost: progress, the answer to a command that came again, and refusals of commands that
// were not taken. A lost refusal costs the fleet another try; to write one for whatever
// a broker chooses to repeat would cost flash.
//
// # After a restart
//
// What was received goes on, unless it has expired. What was started is begun again if
// its verb is Repeatable, and else Indeterminate. A reboot that was started on an
// earlier boot has succeeded: its effect is the new boot, and nothing else can be seen
// of it. While the runner stops, effects are cancelled; what ended with an error then
// stays started and is decided by the next start.
//
// A superseded command that has not begun does not begin. One that runs is cancelled,
// and is superseded unless it says that it succeeded all the same. That a command was
// superseded before it came is remembered for the latest 256, in memory.
//
// # Concurrency
//
// Accept may be called from anywhere, before Run too. Run alone starts goroutines: one
// for each effect, as many as the lanes have room for.
//
// # Failure
//
// While the journal can keep nothing, commands are refused with not_kept, except those
// that only look: they are carried out, and told without any promise. A final reply
// that cannot be kept is tried again until Run ends.
//
// # Testing
//
// model_test.go crashes a node with a real journal at every step, again and again, and
// holds effects and replies against an oracle; with two controls, one that begins after
// the effect and one that forgets what it saw, which must be found out.
package commands
