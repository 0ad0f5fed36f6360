package trust

// Role is a kind of document, and the keys that may sign it.
type Role string

// The roles.
const (
	RoleRoot      Role = "root"      // says which keys hold which role
	RolePolicy    Role = "policy"    // what may and should run
	RoleCommand   Role = "command"   // one instruction
	RoleFreshness Role = "freshness" // the fleet is there, and this is its news
	RoleRelease   Role = "release"   // a version of the agent itself
)

// Roles lists every role.
var Roles = [...]Role{RoleRoot, RolePolicy, RoleCommand, RoleFreshness, RoleRelease}

// The payload types. They are signed with the payload, so a document of one kind
// never passes for another.
const (
	TypeRoot      = "application/vnd.holdfast.root+json"
	TypePolicy    = "application/vnd.holdfast.policy+json"
	TypeCommand   = "application/vnd.holdfast.command+json"
	TypeFreshness = "application/vnd.holdfast.freshness+json"
	TypeRelease   = "application/vnd.holdfast.release+json"
)

// PayloadType is what documents of the role are signed as, empty for an unknown role.
func (r Role) PayloadType() string {
	switch r {
	case RoleRoot:
		return TypeRoot
	case RolePolicy:
		return TypePolicy
	case RoleCommand:
		return TypeCommand
	case RoleFreshness:
		return TypeFreshness
	case RoleRelease:
		return TypeRelease
	}
	return ""
}
