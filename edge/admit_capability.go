package edge

import (
	"slices"
	"strings"
)

// Capability spells a capability as the kernel does: net_raw, NET_RAW and CAP_NET_RAW
// are all CAP_NET_RAW. ALL is none, for it means another thing on every kernel.
func Capability(given string) (string, bool) {
	name := strings.TrimPrefix(strings.ToUpper(given), "CAP_")
	if !slices.Contains(strings.Fields(capabilityNames), name) {
		return "", false
	}
	return "CAP_" + name, true
}

// capabilityNames are those of capabilities(7), in the order of their numbers.
const capabilityNames = `
	CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK
	IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN
	SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
	AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM
	BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`
