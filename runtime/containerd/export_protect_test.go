package containerd

// Protect is protect.
func Protect(folder string) uint64 { return protect(folder) }
