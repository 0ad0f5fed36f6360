package trust_test

import (
	"encoding/json"
	"strings"
	"time"

	"holdfast/edge"
	"holdfast/edge/trust"
)

// orders is a command that restarts a workload of this node.
func orders() edge.Command {
	return edge.Command{
		ID: "c-1", Counter: 7, Audience: forThisNode(), Expires: time.Unix(1.8e9, 0),
		Verb: edge.VerbRestart, Args: json.RawMessage(`{"workload":"vision"}`),
	}
}

func (s scene) command(c edge.Command, seeds ...byte) []byte {
	if c.Issuer == "" {
		c.Issuer = public(s, seeds[0]).ID
	}
	payload, err := trust.EncodeCommand(c)
	if err != nil {
		s.Fatal(err)
	}
	return sign(s, trust.TypeCommand, payload, seeds...)
}

func (s scene) order(envelope []byte) error {
	_, _, err := trust.AcceptCommand(s.root, here(), envelope)
	return err
}

// rawCommand signs a command nobody's encoder would write.
func (s scene) rawCommand(change func(map[string]any)) error {
	opened, err := trust.Open(s.command(orders(), freshKey))
	if err != nil {
		s.Fatal(err)
	}
	var document map[string]any
	if err := json.Unmarshal(opened.Payload, &document); err != nil {
		s.Fatal(err)
	}
	change(document)
	payload, err := json.Marshal(document)
	if err != nil {
		s.Fatal(err)
	}
	return s.order(sign(s, trust.TypeCommand, payload, freshKey))
}

func (s scene) confirmation(node string) []byte {
	payload, err := trust.EncodeConfirmation(edge.Confirmation{Node: node, Epoch: ourEpoch, Seq: 12})
	if err != nil {
		s.Fatal(err)
	}
	return sign(s, trust.TypeConfirmation, payload, freshKey)
}

const ourEpoch = "00112233445566ff"

func (s scene) confirm(envelope []byte) error {
	_, err := trust.VerifyConfirmation(s.root, envelope, "gw-7")
	return err
}

func (s scene) rawConfirmation(payload string) error {
	return s.confirm(sign(s, trust.TypeConfirmation, []byte(payload), freshKey))
}

// commandForgeries are those of commands, and of confirmations.
func commandForgeries() []forgery {
	return []forgery{
		// Commands.
		{"CommandByStranger", trust.ReasonUnknownKey, func(s scene) error { return s.order(s.command(orders(), stranger)) }},
		{"CommandByPolicyKey", trust.ReasonWrongRole, func(s scene) error { return s.order(s.command(orders(), policyA)) }},
		{"CommandFromToken", trust.ReasonWrongType, func(s scene) error { return s.order(s.fresh("gw-7", ourNonce)) }},
		{"CommandFromConfirmation", trust.ReasonWrongType, func(s scene) error { return s.order(s.confirmation("gw-7")) }},
		{"CommandFromPolicy", trust.ReasonWrongType, func(s scene) error { return s.order(s.good) }},
		{"CommandChanged", trust.ReasonBadSignature, func(s scene) error {
			return s.order(forge(s, s.command(orders(), freshKey), wrap(`{"verb":"reboot"}`)))
		}},
		{"CommandOfAnotherNode", trust.ReasonAudience, func(s scene) error {
			c := orders()
			c.Audience.Node = "gw-8"
			return s.order(s.command(c, freshKey))
		}},
		{"CommandOfAnotherGroup", trust.ReasonAudience, func(s scene) error {
			c := orders()
			c.Audience = edge.Audience{Group: "gw-7"}
			return s.order(s.command(c, freshKey))
		}},
		{"CommandForNobody", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { delete(d, "audience") })
		}},
		{"CommandForNodeAndGroup", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["audience"] = map[string]any{"node": "gw-7", "group": "all"} })
		}},
		{"CommandByOneForTwo", trust.ReasonTooFewSignatures, func(s scene) error {
			c := orders()
			c.Verb = edge.VerbReboot
			return s.order(s.command(c, freshKey, stranger, policyA))
		}},
		{"CommandSignedTwiceByOne", trust.ReasonTooFewSignatures, func(s scene) error {
			c := orders()
			c.Verb = edge.VerbExec
			return s.order(forge(s, s.command(c, freshKey), func(l *loose) { l.Signatures = append(l.Signatures, l.Signatures...) }))
		}},
		{"CommandOfAnotherIssuer", trust.ReasonIssuer, func(s scene) error {
			c := orders()
			c.Issuer = public(s, policyA).ID
			return s.order(s.command(c, freshKey, policyA))
		}},
		{"CommandUnknownVerb", trust.ReasonUnknownVerb, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["verb"] = "format" })
		}},
		{"CommandWithoutID", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { delete(d, "id") })
		}},
		{"CommandCounterZero", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["counter"] = 0 })
		}},
		{"CommandNeverExpires", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { delete(d, "expires") })
		}},
		{"CommandExpiresInWords", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["expires"] = "never" })
		}},
		{"CommandArgsList", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["args"] = []int{1} })
		}},
		{"CommandOtherVersion", trust.ReasonBadDocument, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["apiVersion"] = "holdfast/v2" })
		}},
		{"CommandTooLarge", trust.ReasonTooLarge, func(s scene) error {
			return s.rawCommand(func(d map[string]any) { d["x"] = strings.Repeat("a", trust.MaxCommand) })
		}},
		{"CommandTooDeep", trust.ReasonTooDeep, func(s scene) error {
			return s.rawCommand(func(d map[string]any) {
				d["args"] = json.RawMessage(`{"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16) + `}`)
			})
		}},
		{"CommandWithoutRoot", trust.ReasonNoRoot, func(s scene) error {
			s.root = nil
			return s.order(s.command(orders(), freshKey))
		}},

		// Confirmations.
		{"ConfirmationOfAnotherNode", trust.ReasonNode, func(s scene) error { return s.confirm(s.confirmation("gw-8")) }},
		{"ConfirmationFromToken", trust.ReasonWrongType, func(s scene) error { return s.confirm(s.fresh("gw-7", ourNonce)) }},
		{"ConfirmationFromCommand", trust.ReasonWrongType, func(s scene) error { return s.confirm(s.command(orders(), freshKey)) }},
		{"ConfirmationRelabelled", trust.ReasonBadSignature, func(s scene) error {
			return s.confirm(forge(s, s.fresh("gw-7", ourNonce), func(l *loose) { l.PayloadType = trust.TypeConfirmation }))
		}},
		{"ConfirmationByPolicyKeys", trust.ReasonWrongRole, func(s scene) error {
			opened, err := trust.Open(s.confirmation("gw-7"))
			if err != nil {
				return err
			}
			return s.confirm(sign(s, trust.TypeConfirmation, opened.Payload, policyA, policyB))
		}},
		{"ConfirmationWithoutRoot", trust.ReasonNoRoot, func(s scene) error {
			s.root = nil
			return s.confirm(s.confirmation("gw-7"))
		}},
		{"ConfirmationBelowNothing", trust.ReasonBadDocument, func(s scene) error {
			return s.rawConfirmation(`{"apiVersion":"holdfast/v1","kind":"Confirmation","node":"gw-7","epoch":"` + ourEpoch + `","seq":-1}`)
		}},
		{"ConfirmationOfNoEpoch", trust.ReasonBadDocument, func(s scene) error {
			return s.rawConfirmation(`{"apiVersion":"holdfast/v1","kind":"Confirmation","node":"gw-7","epoch":"00112233445566FF","seq":1}`)
		}},
		{"ConfirmationOtherKind", trust.ReasonBadDocument, func(s scene) error {
			return s.rawConfirmation(`{"apiVersion":"holdfast/v1","kind":"Freshness","node":"gw-7","epoch":"` + ourEpoch + `","seq":1}`)
		}},
		{"ConfirmationTooLarge", trust.ReasonTooLarge, func(s scene) error {
			return s.rawConfirmation(`{"x":"` + strings.Repeat("a", 5<<10) + `"}`)
		}},
	}
}
