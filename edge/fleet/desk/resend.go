package desk

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"holdfast/edge"
	"holdfast/mqtt"
)

// maxResent is how many commands one hello brings, for a node has room for so many. Half
// of them are the latest that it surely lacks; the others are brought in turn, so that
// those it has taken, and has no room to say so, never keep the rest from coming.
const maxResent = 64

func (at *attendant) resend(ctx context.Context, who edge.Identity, hello edge.Hello) error {
	for _, c := range at.turns.choose(hello, at.shelf.commandsFor(who, hello)) {
		at.tell(hello.Node, "command", c.command.ID)
		if err := at.send(ctx, mqtt.Message{Topic: at.desk.topic(hello.Node, mqtt.DownCommand), Payload: c.envelope}); err != nil {
			return err
		}
	}
	return nil
}

// commandsFor are the commands a hello shows to be missing: for this node, not expired,
// not superseded, and not among those it has taken. They are in the order of issue.
func (s *shelf) commandsFor(node edge.Identity, hello edge.Hello) []commandFile {
	over := map[string]bool{}
	for _, c := range s.commands {
		over[c.command.Supersedes] = true
	}
	var missing []commandFile
	for _, c := range s.commands {
		if c.command.Audience.Matches(node) && !over[c.command.ID] && !hasTaken(hello, c.command) {
			missing = append(missing, c)
		}
	}
	edge.SortStable(missing, byIssue)
	return missing
}

// hasTaken tells whether a node has taken a command, or says that it will not.
func hasTaken(hello edge.Hello, c *edge.Command) bool {
	for _, seen := range hello.Seen {
		if seen.Issuer == c.Issuer {
			return c.Counter <= seen.Floor || slices.Contains(seen.Counters, c.Counter)
		}
	}
	return false
}

// surelyLacks tells whether a node would have said so had it taken a command: the latest
// are listed first where there is no room for all.
func surelyLacks(hello edge.Hello, c *edge.Command) bool {
	for _, seen := range hello.Seen {
		if seen.Issuer == c.Issuer && seen.Partial {
			return len(seen.Counters) > 0 && c.Counter > seen.Counters[0]
		}
	}
	return true
}

// byIssue orders commands as they were issued.
func byIssue(a, b commandFile) int { return a.turn().compare(b.turn()) }

// turn is a command's place in the order of issue.
type turn struct {
	counter uint64
	id      string
}

func (c commandFile) turn() turn { return turn{c.command.Counter, c.command.ID} }

func (t turn) compare(other turn) int {
	return cmp.Or(cmp.Compare(t.counter, other.counter), cmp.Compare(t.id, other.id))
}

// turns is, for each node with more commands than one hello brings, whose turn was last.
type turns map[string]turn

// choose picks what a hello brings of what is missing. Both are in the order of issue.
func (t turns) choose(hello edge.Hello, missing []commandFile) (chosen []commandFile) {
	if len(missing) <= maxResent {
		delete(t, hello.Node)
		return missing
	}
	var others []commandFile
	for _, c := range slices.Backward(missing) {
		if len(chosen) < maxResent/2 && surelyLacks(hello, c.command) {
			chosen = append(chosen, c)
		} else {
			others = append(others, c)
		}
	}
	slices.Reverse(others)
	from := t.next(hello.Node, others)
	for i := range min(len(others), maxResent-len(chosen)) {
		c := others[(from+i)%len(others)]
		chosen, t[hello.Node] = append(chosen, c), c.turn()
	}
	edge.SortStable(chosen, byIssue)
	return chosen
}

// next is the place of the one whose turn it is. It is a random one at first: who attends
// for a moment only, again and again, would never come to the later ones.
func (t turns) next(node string, others []commandFile) int {
	last, known := t[node]
	if !known {
		if len(t) >= maxNodes {
			clear(t) // nodes that have left
		}
		return rand.IntN(len(others))
	}
	at, exact := slices.BinarySearchFunc(others, last, func(c commandFile, last turn) int { return c.turn().compare(last) })
	if exact {
		at++
	}
	return at % len(others)
}
