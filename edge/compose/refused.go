package compose

import "slices"

// Refused are keys Compose knows, and why they are not honoured.
type Refused struct {
	Keys   []string // the last part of their paths
	Reason string
	Remedy string // what to do instead
}

// RefusedKeys lists the keys that are not honoured and whose reason is more than that
// nobody has needed them yet. All others are refused too.
func RefusedKeys() []Refused {
	return []Refused{
		{[]string{"expose"},
			"all ports are reached on a network", "remove it"},
		{[]string{"links", "dns", "extra_hosts", "hostname"},
			"instances know those on their networks, by the names of their services", "remove it"},
		{[]string{"volumes_from", "configs"},
			"instances see nothing of the host but what volumes, secrets and devices name", "put files into the image, or name them under the service's volumes"},
		{[]string{"file"},
			"no secret belongs into this file or beside it", "write external: true, and seal its value into the policy or keep it on the node"},
		{[]string{"device_cgroup_rules", "cgroup", "ipc", "pid", "uts", "userns_mode", "sysctls"},
			"it would undo the isolation of instances", "add single capabilities with cap_add"},
		{[]string{"build"},
			"images are built elsewhere", "name an image and import it with `holdfast images import`"},
		{[]string{"env_file", "label_file", "include", "extends"},
			"only this one file is read", "write it out here"},
		{[]string{"profiles"},
			"every service of the file runs", "keep one file for each set of services"},
		{[]string{"rollback_config"},
			"a version is taken back as it was brought, in the order and number of update_config", "remove it"},
		{[]string{"logging"},
			"output is kept in rotated files on the node", "set logs.maxSize and logs.keep in the configuration"},
		{[]string{routeKey},
			"every model is answered locally", "remove it"},
	}
}

// routeKey is a key of x-holdfast that a later version may honour.
const routeKey = "route"

// refusal says why a key that Compose knows is not honoured, and what to do instead.
func refusal(key string) (reason, remedy string) {
	for _, refused := range RefusedKeys() {
		if slices.Contains(refused.Keys, key) {
			return refused.Reason, refused.Remedy
		}
	}
	return "", "remove it"
}
