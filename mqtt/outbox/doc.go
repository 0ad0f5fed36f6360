// Package outbox keeps what must still reach the fleet, across partitions and power
// cuts. It has two halves that share nothing but the folder they lie in:
//
//   - the telemetry ring, Spool: task metadata, transitions, vitals; classes D0 and
//     D1. It owns the folder spool with its segments. Losing some of it under stress
//     is allowed, and always told.
//   - the transactional half: replies, the seen window, the command journal and the
//     control outbox, which are D2: committed before anyone is told. It belongs in a
//     database; none of it passes through the Spool.
//
// The Spool promises that
//
//   - Append never waits for the disk, and memory and flash are bounded;
//   - a D1 record that is not acknowledged within Settle is on flash by then; when the
//     day's flash is used up, within SettleMost;
//   - what Read returns stands for every number behind the acknowledged ones, in
//     order, each once: by its record, or by a gap that says why there is none;
//   - no pair of epoch and number is given out twice, whatever a power cut takes;
//   - what is acknowledged in time is never written.
//
// The one who drains takes Changed, then Reads from where it was, sends, waits for
// acknowledgements and calls Ack with the greatest number up to which all arrived;
// after a reconnect it begins again behind the acknowledged. A record may so be sent
// more than once, under the same number. A gap bears the last number it stands for
// and may grow between two Reads; it holds also for who has seen that number before.
//
// # Concurrency
//
// All methods may be called from anywhere. Run is the only goroutine, and with Open and
// Close the only one that writes. Read reads the disk in its caller's goroutine. No
// lock is held while the disk works.
//
// # Failure
//
// When the disk fails, records wait in memory, the oldest go first, a warning says so,
// and writing is tried again at another place: a page whose sync failed is not
// believed until the ring comes round. As long as no reservation of numbers is on flash
// the spool uses an epoch of its own making; when a ring is found later, what waits is
// numbered anew in the ring's epoch, and what had been sent may be sent again.
// Writing to a segment needs no space, because segments get their size, in zeros,
// before use; a full disk can only keep the ring short of segments.
//
// # Testing
//
// crash_test.go cuts the power in a recorded run at every kind of step and holds what
// the code finds against what it had promised, with controls that must fail.
// model_test.go holds it against a plain slice, in virtual time. fault_test.go fails
// each operation in turn. flash_test.go asks the block device what was written.
package outbox
