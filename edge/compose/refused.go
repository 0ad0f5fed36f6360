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
		{[]string{"container_name"},
			"an instance is called after its app and service, and there may be several", "remove it; others on its network reach it by the name of its service"},
		{[]string{"labels", "annotations"},
			"nothing on the node reads them", "remove it"},
		{[]string{"group_add"},
			"devices, secrets and volumes belong to the user of the instance", "remove it, and name under devices what it opens"},
		{[]string{"gpus"},
			"devices are given one by one", "name their files under devices"},
		{[]string{"platform"},
			"an image runs on the platform of its node", "remove it"},
		{[]string{"pull_policy", "pull_refresh_after"},
			"an image is fetched when the node does not have it, and never twice", "remove it"},
		{[]string{"init"},
			"the program of an instance is its first process", "remove it; a program that leaves children behind needs an entrypoint that collects them"},
		{[]string{"stdin_open", "tty", "attach"},
			"nobody sits before an instance", "remove it; what it says is read with `holdfast logs`"},
		{[]string{"develop"},
			"it is for who writes the program", "remove it"},
		{[]string{"restart_policy"},
			"the service says it", "write restart: always or restart: on-failure beside its image"},
		{[]string{"placement", "mode", "endpoint_mode"},
			"a project is of one node", "remove it; which nodes have it is said by their policies"},
		{[]string{"ulimits"},
			"every instance may open as many files, and none leaves a core", "remove it; processes are bounded by deploy.resources.limits.pids"},
		{[]string{"mem_reservation"},
			"deploy says it", "write deploy.resources.reservations.memory"},
		{[]string{"cpu_shares", "cpu_quota", "cpu_period", "cpu_count", "cpu_percent"},
			"deploy says it", "write deploy.resources.limits.cpus, and reservations.cpus for what it is to have in any case"},
		{[]string{"cpuset"},
			"cores are shared, by weight", "write deploy.resources.limits.cpus"},
		{[]string{"oom_score_adj", "oom_kill_disable"},
			"the agent and containerd outlive every instance", "remove it; what deploy.resources.reservations.memory sets aside is kept longest"},
		{[]string{"logging"},
			"output is kept in rotated files on the node", "set logs.maxSize and logs.keep in the configuration"},
		{[]string{routeKey},
			"where the tasks of a model are answered is said for the whole node", "write it under routes of the policy"},
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
