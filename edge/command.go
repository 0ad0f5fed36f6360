package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Verb is what a command asks for.
type Verb string

// The verbs.
const (
	VerbApply    Verb = "apply"    // a signed policy or root document, when it is small enough to travel inside
	VerbStart    Verb = "start"    // a workload that was stopped
	VerbStop     Verb = "stop"     // a workload, until start or another policy
	VerbRestart  Verb = "restart"  // a workload or one instance
	VerbScale    Verb = "scale"    // a workload to so many replicas, until another policy
	VerbRollback Verb = "rollback" // to the policy before the one in force
	VerbDrain    Verb = "drain"    // no new tasks; waits for those inside
	VerbUndrain  Verb = "undrain"
	VerbPull     Verb = "pull"     // an image by digest from its registry
	VerbImport   Verb = "import"   // an archive that lies in the node's images folder
	VerbPrune    Verb = "prune"    // images that nothing needs
	VerbInfer    Verb = "infer"    // one task
	VerbLogs     Verb = "logs"     // the last lines of an instance's output
	VerbExec     Verb = "exec"     // a program inside an instance
	VerbVitals   Verb = "vitals"   // what the node measures about itself
	VerbDiagnose Verb = "diagnose" // the doctor's examination
	VerbRefresh  Verb = "refresh"  // hello and the whole state, now
	VerbReboot   Verb = "reboot"   // the machine
	VerbUpdate   Verb = "update"   // the agent itself, to a release
	// VerbUpdateSystem is the whole system below the agent, to a bundle that RAUC installs.
	VerbUpdateSystem Verb = "update-system"

	VerbCancel Verb = "cancel" // the command that this one supersedes
)

// Conduct is what there is to know of a verb before it is carried out.
type Conduct struct {
	// Repeatable verbs are carried out again when a crash left open whether they had an
	// effect. Others are then reported as Indeterminate.
	Repeatable bool
	// Signatures is how many distinct keys must have signed, whatever the role's
	// threshold is.
	Signatures int
	// Risky verbs are refused while the policy's lease has ended.
	Risky bool
	// Within is how long the verb may take.
	Within time.Duration
}

// Verbs lists every verb with its conduct.
func Verbs() map[Verb]Conduct {
	const quick, long = 30 * time.Second, 10 * time.Minute
	return map[Verb]Conduct{
		VerbApply:    {Repeatable: true, Signatures: 1, Within: 2 * time.Minute},
		VerbStart:    {Repeatable: true, Signatures: 1, Within: 2 * time.Minute},
		VerbStop:     {Repeatable: true, Signatures: 1, Risky: true, Within: 2 * time.Minute},
		VerbRestart:  {Signatures: 1, Risky: true, Within: 2 * time.Minute},
		VerbScale:    {Repeatable: true, Signatures: 1, Risky: true, Within: 2 * time.Minute},
		VerbRollback: {Signatures: 1, Risky: true, Within: quick},
		VerbDrain:    {Repeatable: true, Signatures: 1, Within: long},
		VerbUndrain:  {Repeatable: true, Signatures: 1, Within: quick},
		VerbPull:     {Repeatable: true, Signatures: 1, Risky: true, Within: time.Hour},
		VerbImport:   {Repeatable: true, Signatures: 1, Risky: true, Within: long},
		VerbPrune:    {Repeatable: true, Signatures: 1, Risky: true, Within: long},
		VerbInfer:    {Repeatable: true, Signatures: 1, Within: long},
		VerbLogs:     {Repeatable: true, Signatures: 1, Within: quick},
		VerbExec:     {Signatures: 2, Risky: true, Within: long},
		VerbVitals:   {Repeatable: true, Signatures: 1, Within: quick},
		VerbDiagnose: {Repeatable: true, Signatures: 1, Within: 2 * time.Minute},
		VerbRefresh:  {Repeatable: true, Signatures: 1, Within: quick},
		VerbReboot:   {Signatures: 2, Risky: true, Within: quick},
		VerbUpdate:   {Repeatable: true, Signatures: 1, Risky: true, Within: 24 * time.Hour},
		// It ends in a reboot, so it takes as many to ask for.
		VerbUpdateSystem: {Repeatable: true, Signatures: 2, Risky: true, Within: 24 * time.Hour},

		VerbCancel: {Repeatable: true, Signatures: 1, Within: quick},
	}
}

// CommandKind is the kind a command document names.
const CommandKind = "Command"

// Command is one instruction of the fleet, as it is signed.
type Command struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	ID         string `json:"id"` // a name, unique within the fleet
	// Issuer is the id of the key whose Counter counts; it must be one of the signers.
	Issuer   string    `json:"issuer"`
	Counter  uint64    `json:"counter"` // greater than in any earlier command of the issuer
	Audience Audience  `json:"audience"`
	Expires  time.Time `json:"expires"`
	// MaxBoots ends a command on a node that has no clock: it is not begun after so
	// many further boots.
	MaxBoots   int             `json:"maxBoots"`
	MinPolicy  uint64          `json:"minPolicy,omitempty"`  // version of the policy that must be in force
	Supersedes string          `json:"supersedes,omitempty"` // id of a command that ends, begun or not, when this one is taken
	Verb       Verb            `json:"verb"`
	Args       json.RawMessage `json:"args,omitempty"` // an object
}

// Bounds of commands.
const (
	maxCounter = 1<<53 - 1 // what every reader of JSON holds exactly
	MaxBoots   = 1000
	// MaxResult bounds what a reply carries back, so that its envelope fits a frame.
	MaxResult = 32 << 10
)

// Check finds what no command may say.
func (c Command) Check() error {
	_, known := Verbs()[c.Verb]
	switch {
	case c.APIVersion != APIVersion || c.Kind != CommandKind:
		return fmt.Errorf("command: %.40q of %.40q is not %s of %s: %w", c.Kind, c.APIVersion, CommandKind, APIVersion, ErrInvalid)
	case !IsName(c.ID):
		return fmt.Errorf("command: id %.80q is no name: %w", c.ID, ErrInvalid)
	case c.Issuer == "" || len(c.Issuer) > 128:
		return fmt.Errorf("command %s: names no issuer: %w", c.ID, ErrInvalid)
	case c.Counter == 0 || c.Counter > maxCounter:
		return fmt.Errorf("command %s: counter %d is not within 1 and %d: %w", c.ID, c.Counter, int64(maxCounter), ErrInvalid)
	case c.Expires.IsZero():
		return fmt.Errorf("command %s: never expires: %w", c.ID, ErrInvalid)
	case c.MaxBoots < 0 || c.MaxBoots > MaxBoots:
		return fmt.Errorf("command %s: maxBoots %d is not within 0 and %d: %w", c.ID, c.MaxBoots, MaxBoots, ErrInvalid)
	case c.Supersedes != "" && (!IsName(c.Supersedes) || c.Supersedes == c.ID):
		return fmt.Errorf("command %s: cannot supersede %.80q: %w", c.ID, c.Supersedes, ErrInvalid)
	case c.Verb == VerbCancel && c.Supersedes == "":
		return fmt.Errorf("command %s: cancel names nothing to supersede: %w", c.ID, ErrInvalid)
	case !known:
		return fmt.Errorf("command %s: unknown verb %.40q: %w", c.ID, c.Verb, ErrInvalid)
	case len(c.Args) > 0 && c.Args[0] != '{':
		return fmt.Errorf("command %s: args are not an object: %w", c.ID, ErrInvalid)
	}
	return c.Audience.Check()
}

// Stage is how far a command has come.
type Stage string

// The stages: received, then started, then one of the others, which are final.
const (
	StageReceived      Stage = "received"
	StageStarted       Stage = "started"
	StageSucceeded     Stage = "succeeded"
	StageFailed        Stage = "failed"
	StageRefused       Stage = "refused"
	StageExpired       Stage = "expired"
	StageSuperseded    Stage = "superseded"
	StageIndeterminate Stage = "indeterminate" // a crash came between, and the verb must not be repeated
)

// Final tells whether nothing follows.
func (s Stage) Final() bool { return s != StageReceived && s != StageStarted }

// Reply says what became of a command.
type Reply struct {
	Command  string          `json:"command"` // its id
	Issuer   string          `json:"issuer,omitempty"`
	Counter  uint64          `json:"counter,omitempty"`
	Verb     Verb            `json:"verb,omitempty"`
	Stage    Stage           `json:"stage"`
	Reason   string          `json:"reason,omitempty"` // for programs, when it did not succeed
	Detail   string          `json:"detail,omitempty"` // for people
	Remedy   string          `json:"remedy,omitempty"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"` // an object of the verb's own
}

// Progress is how far a command that takes its time has come.
type Progress struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"` // 0: not known
	Unit  string `json:"unit,omitempty"`
	Note  string `json:"note,omitempty"`
}

// FactMessage is the fact of an EventCommandRefused that says which message it was.
const FactMessage = "message"

// MessageDigest names a message as it came, for whoever has sent it.
func MessageDigest(message []byte) string {
	sum := sha256.Sum256(message)
	return "sha256:" + hex.EncodeToString(sum[:])
}
