// Package chroot installs the packages in a Debian of its own, as a package manager
// does: what is put where and with which rights, that a person's configuration outlives an
// upgrade, and that nothing outlives a purge. It runs behind the tag chroot (make
// packages-test): unpacking a Debian takes its time.
//
// The apk is installed by build/packages/apkcheck in a folder that has nothing, and then
// busybox and OpenRC, with which the agent is started, upgraded and removed there.
//
// There is neither systemd nor containerd in it; with both, and with tasks that come
// meanwhile, a machine of its own tries the same (build/vm, the step package).
package chroot
