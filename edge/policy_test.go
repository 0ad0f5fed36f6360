package edge_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"holdfast/edge"
)

// digest pins the images of these tests.
const digest = "@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

// document says something in every section.
const document = `{
 "apiVersion": "holdfast/v1", "kind": "Policy",
 "metadata": {"name": "line-3", "version": 42, "audience": {"group": "line-3"}},
 "lease": {"hours": 720, "boots": 200, "onExpiry": "degrade"},
 "classes": {"urgent": {"deadline": "100ms", "queue": 64, "firm": true}, "normal": {"deadline": "1s"}, "batch": {"deadline": "10m"}},
 "tenants": {"vision": {"cpu": 1.5, "memory": "512Mi", "instances": 3, "rate": "50/s", "burst": 100, "models": ["surface", "surface-lite"], "classes": ["urgent", "batch"]}, "_default": {"cpu": 0.25, "memory": "128Mi"}},
 "limits": {"default": {"cpus": 0.5, "memory": "512Mi", "pids": 256}, "defaultRequest": {"cpus": 0.2, "memory": "256Mi"}},
 "security": {"images": {"pin": "digest", "allow": ["registry.example/line/*"]}, "privileged": "deny", "hostNetwork": "deny", "runAsRoot": "deny", "capabilities": ["NET_ADMIN"], "hostPaths": ["/dev/video0"], "secrets": ["site-db"], "hostPorts": ["0.0.0.0:8080"], "outward": "deny", "links": {"plant": ["line-3", "office"]}},
 "secrets": {"camera": {"sealed": "YWdlLWVuY3J5cHRpb24ub3JnL3YxCg=="}},
 "upstreams": {"hq": {"url": "https://infer.example", "ca": "-----BEGIN CERTIFICATE-----", "token": "camera", "timeout": "5s", "breaker": {"failures": 5, "open": "10s", "probes": 3}}},
 "routes": {"surface": {"upstream": "hq", "model": "surface-large", "mode": "local-else-upstream", "tenants": ["vision"]}},
 "connectivity": {"heartbeat": "5s", "offlineAfter": 3, "monthlyBytes": "50Mi", "maxBackoff": "10m"},
 "offline": {"stop": ["batch-upload"], "variants": "prefer-small", "routes": "local"},
 "health": {"weights": {"cpu": 0.4, "memory": 0.3, "errorRate": 5, "latencyPer100ms": 1}, "warnBelow": 60, "variants": "prefer-small"},
 "sla": {"window": "30s", "scaleUpBelow": 0.95, "scaleDownAbove": 0.98, "maxReplicas": 4},
 "agent": {"release": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "sources": ["https://releases.example/holdfast"], "bandwidth": "512Ki",
  "system": {"version": "7", "bundle": "https://releases.example/gateway-7.raucb", "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "bandwidth": "256Ki", "restart": "later"}},
 "triggers": [
  {"mqtt": "factory/cam1/frame", "model": "surface", "class": "urgent", "tenant": "vision", "deadline": "80ms", "reply": "factory/cam1/verdict"},
  {"dir": "/var/lib/holdfast/inbox", "glob": "*.pgm", "model": "surface"},
  {"file": "/run/camera/latest.pgm", "cron": "*/5 * * * *", "into": "/var/lib/holdfast/looks", "keep": 10, "model": "surface"},
  {"input": "[1]", "cron": "@daily", "into": "/var/lib/holdfast/report", "model": "surface"}],
 "workloads": [
  {"app": "line-3", "name": "surface", "image": "registry.example/line/surface` + digest + `", "replicas": 1, "entrypoint": null, "command": [],
   "tenant": "vision", "limits": {"cpus": 0.5, "memory": 134217728}, "security": {}, "restart": "always", "stopGrace": 10000000000,
   "serve": {"model": "surface", "variants": ["surface-lite"], "endpoint": "unix:///run/model/model.sock", "cost": 20000000}},
  {"app": "line-3", "name": "batch-upload", "image": "registry.example/line/upload:2` + digest + `", "replicas": 1, "entrypoint": null, "command": null,
   "limits": {"memory": 33554432}, "security": {}, "restart": "no"}]
}`

func decode(t testing.TB, text string) *edge.Policy {
	t.Helper()
	policy, err := edge.DecodePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

func TestPolicy_Decode(t *testing.T) {
	policy := decode(t, document)
	t.Run("EveryFieldMeansSomething", func(t *testing.T) {
		checkSet(t, reflect.ValueOf(*policy), "")
	})
	t.Run("Values", func(t *testing.T) {
		vision, _ := policy.Tenant("vision")
		want := edge.TenantPolicy{
			CPU: 1.5, Memory: 512 << 20, Instances: 3, Rate: edge.Rate{Count: 50, Per: time.Second}, Burst: 100,
			Models: []string{"surface", "surface-lite"}, Classes: []edge.Class{edge.Urgent, edge.Batch},
		}
		if got := vision; !reflect.DeepEqual(got, want) {
			t.Errorf("vision = %+v, want %+v", got, want)
		}
		if got, want := policy.Classes[edge.Batch].Deadline, edge.Duration(10*time.Minute); got != want {
			t.Errorf("batch deadline = %v, want %v", got, want)
		}
		if policy.Workloads[0].Entrypoint != nil || policy.Workloads[0].Command == nil {
			t.Error("none and the image's own are no longer apart")
		}
	})
	t.Run("TriggerWithoutClassIsNormal", func(t *testing.T) {
		if got := policy.Triggers[1].Class; got != edge.Normal {
			t.Errorf("class = %v, want normal", got)
		}
	})
	t.Run("UnknownFieldsAreIgnoredAndListed", func(t *testing.T) {
		policy := decode(t, strings.Replace(document, `"glob":`, `"colour": {"a": [1]}, "glob":`, 1))
		if got, want := policy.Unknown, []string{"triggers[1].colour"}; !reflect.DeepEqual(got, want) {
			t.Errorf("unknown = %q, want %q", got, want)
		}
	})
	t.Run("NamesMatchExactly", func(t *testing.T) {
		policy := decode(t, strings.Replace(document, `"sla":`, `"SLA":`, 1))
		if (policy.SLA != edge.SLAPolicy{}) || !reflect.DeepEqual(policy.Unknown, []string{"SLA"}) {
			t.Errorf("SLA was read as sla: %+v, unknown %q", policy.SLA, policy.Unknown)
		}
	})
}

// checkSet finds fields of the policy the document says nothing about. The fields of
// workloads belong to another document's tests.
func checkSet(t *testing.T, value reflect.Value, at string) {
	t.Helper()
	for i := range value.NumField() {
		name := value.Type().Field(i).Name
		field := value.Field(i)
		switch {
		case name == "Critical" || name == "Unknown" || at == ".Metadata.Audience" && name != "Group":
		case at == ".Limits.DefaultRequest" && name == "Pids":
		case field.IsZero():
			t.Errorf("%s.%s is not set", at, name)
		case field.Kind() == reflect.Struct:
			checkSet(t, field, at+"."+name)
		}
	}
}

func TestPolicy_DecodeRefuses(t *testing.T) {
	for name, test := range map[string]struct{ old, new, field string }{
		"OtherVersion":       {`holdfast/v1`, `holdfast/v2`, "apiVersion"},
		"OtherKind":          {`"kind": "Policy"`, `"kind": "Root"`, "kind"},
		"CriticalUnknown":    {`"kind"`, `"critical": ["security.seccomp"], "kind"`, "critical"},
		"CriticalEmpty":      {`"kind"`, `"critical": [""], "kind"`, "critical"},
		"CriticalBelowLeaf":  {`"kind"`, `"critical": ["lease.hours.x"], "kind"`, "critical"},
		"NoName":             {`"name": "line-3", "version"`, `"version"`, "metadata.name"},
		"VersionZero":        {`"version": 42`, `"version": 0`, "metadata.version"},
		"VersionNegative":    {`"version": 42`, `"version": -1`, "metadata.version"},
		"VersionText":        {`"version": 42`, `"version": "42"`, "metadata.version"},
		"AudienceNobody":     {`{"group": "line-3"}`, `{}`, "metadata.audience"},
		"AudienceTwo":        {`{"group": "line-3"}`, `{"group": "a", "node": "b"}`, "metadata.audience"},
		"AudienceBadLabel":   {`{"group": "line-3"}`, `{"labels": {"a b": "c"}}`, "metadata.audience.labels.a b"},
		"NoLease":            {`"lease": {"hours": 720, "boots": 200, "onExpiry": "degrade"},`, ``, "lease.hours"},
		"LeaseStopsAll":      {`"degrade"`, `"stop"`, "lease.onExpiry"},
		"UnknownClass":       {`"batch": {"deadline"`, `"bulk": {"deadline"`, "classes.bulk"},
		"ClassDeadline":      {`"10m"`, `"-1s"`, "classes.batch.deadline"},
		"TenantCPU":          {`"cpu": 1.5`, `"cpu": -1`, "tenants.vision.cpu"},
		"TenantCPUText":      {`"cpu": 1.5`, `"cpu": "much"`, "tenants.vision.cpu"},
		"TenantMemory":       {`"512Mi", "instances": 3, "rate"`, `"512MB", "rate"`, "tenants.vision.memory"},
		"TenantRate":         {`"50/s"`, `"50"`, "tenants.vision.rate"},
		"TenantName":         {`"vision": {`, `"a/b": {`, "tenants.a/b"},
		"BurstWithoutRate":   {`"rate": "50/s", `, ``, "tenants.vision.burst"},
		"TenantModelUnknown": {`"models": ["surface", "surface-lite"]`, `"models": ["surface", "surfaces"]`, "tenants.vision.models[1]"},
		"TenantModelTwice":   {`"models": ["surface", "surface-lite"]`, `"models": ["surface", "surface"]`, "tenants.vision.models[1]"},
		"TenantClassUnknown": {`["urgent", "batch"]`, `["urgent", "bulk"]`, "tenants.vision.classes[1]"},
		"TenantClassTwice":   {`["urgent", "batch"]`, `["batch", "batch"]`, "tenants.vision.classes[1]"},
		"RequestAboveLimit":  {`{"cpus": 0.2`, `{"cpus": 0.7`, "limits.defaultRequest.cpus"},
		"PinByTag":           {`"pin": "digest"`, `"pin": "tag"`, "security.images.pin"},
		"BadPattern":         {`line/*"`, `line/["`, "security.images.allow[0]"},
		"Privileged":         {`"privileged": "deny"`, `"privileged": "yes"`, "security.privileged"},
		"HostPathRelative":   {`/dev/video0`, `/dev/../etc`, "security.hostPaths[0]"},
		"SecretName":         {`"camera": {`, `"a/b": {`, "secrets.a/b"},
		"SecretNotSealed":    {`YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==`, `s3cret!`, "secrets.camera.sealed"},
		"SecretEmpty":        {`YWdlLWVuY3J5cHRpb24ub3JnL3YxCg==`, ``, "secrets.camera.sealed"},
		"SecretOfNode":       {`["site-db"]`, `["site/db"]`, "security.secrets[0]"},
		"SecretNotListed":    {`"command": [],`, `"command": [], "secrets": [{"name": "other"}],`, "workloads[0].secrets[0].name"},
		"SecretWritten":      {`"command": [],`, `"command": [], "secrets": [{"name": "camera", "mode": "0600"}],`, "workloads[0].secrets[0].mode"},
		"SecretMode":         {`"command": [],`, `"command": [], "secrets": [{"name": "camera", "mode": "rw"}],`, "workloads[0].secrets[0].mode"},
		"VolumeName":         {`"command": [],`, `"command": [], "volumes": [{"name": "../a", "target": "/data"}],`, "workloads[0].volumes[0].name"},
		"VolumeRelative":     {`"command": [],`, `"command": [], "volumes": [{"name": "a", "target": "data"}],`, "workloads[0].volumes[0].target"},
		"VolumeOverKernel":   {`"command": [],`, `"command": [], "volumes": [{"name": "a", "target": "/proc"}],`, "workloads[0].volumes[0].target"},
		"VolumeTwice":        {`"command": [],`, `"command": [], "volumes": [{"name": "a", "target": "/a"}, {"name": "b", "target": "/a"}],`, "workloads[0].volumes[1].target"},
		"NetworkName":        {`"command": [],`, `"command": [], "networks": ["a b"],`, "workloads[0].networks[0]"},
		"NetworkTwice":       {`"command": [],`, `"command": [], "networks": ["a", "a"],`, "workloads[0].networks[1]"},
		"NetworkOutside":     {`"command": [],`, `"command": [], "networks": ["a"], "outward": ["b"],`, "workloads[0].outward[0]"},
		"NetworkOutward":     {`"command": [],`, `"command": [], "networks": ["a"], "outward": ["a"],`, "workloads[0].outward[0]"},
		"LinkName":           {`"command": [],`, `"command": [], "links": ["a b"],`, "workloads[0].links[0]"},
		"LinkNotAllowed":     {`"command": [],`, `"command": [], "links": ["plant", "other"],`, "workloads[0].links[1]"},
		"PortZero":           {`"command": [],`, `"command": [], "ports": [{"port": 0, "target": 80}],`, "workloads[0].ports[0].port"},
		"PortTarget":         {`"command": [],`, `"command": [], "ports": [{"port": 80, "target": 65536}],`, "workloads[0].ports[0].target"},
		"PortHost":           {`"command": [],`, `"command": [], "ports": [{"host": "localhost", "port": 80, "target": 80}],`, "workloads[0].ports[0].host"},
		"PortSpelled":        {`"command": [],`, `"command": [], "ports": [{"host": "0:0::1", "port": 80, "target": 80}],`, "workloads[0].ports[0].host"},
		"PortOfTheNode":      {`"command": [],`, `"command": [], "ports": [{"host": "0.0.0.0", "port": 8081, "target": 80}],`, "workloads[0].ports[0]"},
		"PortTwice":          {`"command": [],`, `"command": [], "ports": [{"port": 80, "target": 80}, {"host": "0.0.0.0", "port": 80, "target": 81}],`, "workloads[0].ports[1]"},
		"HostPorts":          {`0.0.0.0:8080`, `0.0.0.0`, "security.hostPorts[0]"},
		"Outward":            {`"outward": "deny"`, `"outward": "yes"`, "security.outward"},
		"LinkedTwice":        {`["line-3", "office"]`, `["office", "office"]`, "security.links.plant[1]"},
		"SecretVersion":      {`"command": [],`, `"command": [], "secrets": [{"name": "camera", "version": "1"}],`, "workloads[0].secrets[0].version"},
		"SecretOverKernel":   {`"command": [],`, `"command": [], "secrets": [{"name": "camera", "path": "/proc/x"}],`, "workloads[0].secrets[0].path"},
		"SecretTwice":        {`"command": [],`, `"command": [], "secrets": [{"name": "camera"}, {"name": "site-db", "path": "/run/secrets/camera"}],`, "workloads[0].secrets[1].path"},
		"StopsNothing":       {`["batch-upload"]`, `["upload"]`, "offline.stop[0]"},
		"Variants":           {`prefer-small`, `small`, "offline.variants"},
		"Score":              {`"warnBelow": 60`, `"warnBelow": 160`, "health.warnBelow"},
		"UnwellWhen":         {`"warnBelow": 60`, `"warnBelow": 0`, "health.warnBelow"},
		"Shares":             {`0.98`, `0.5`, "sla.scaleDownAbove"},
		"ReleaseNoDigest":    {`"release": "sha256:`, `"release": "md5:`, "agent.release"},
		"ReleaseMissing":     {`"release": "` + digest[1:] + `", "sources"`, `"sources"`, "agent.release"},
		"ReleaseNowhere":     {`"sources": ["https://releases.example/holdfast"], `, ``, "agent.sources"},
		"SourceWithPassword": {`https://releases`, `https://me:secret@releases`, "agent.sources[0]"},
		"SourceOfFiles":      {`https://releases.example`, `file:///srv`, "agent.sources[0]"},
		"BandwidthTooLow":    {`512Ki`, `1Ki`, "agent.bandwidth"},
		"TwoSources":         {`"glob": "*.pgm"`, `"mqtt": "a"`, "triggers[1]"},
		"TopicFilter":        {`factory/cam1/frame`, `factory/#/frame`, "triggers[0].mqtt"},
		"ReplyWildcard":      {`factory/cam1/verdict`, `factory/+`, "triggers[0].reply"},
		"TriggerClass":       {`"class": "urgent"`, `"class": 1`, "triggers[0].class"},
		"TriggerNoModel":     {`"model": "surface", "class": "urgent"`, `"class": "urgent"`, "triggers[0].model"},
		"CronMissing":        {`"cron": "@daily", `, ``, "triggers[3].cron"},
		"CronOfMessages":     {`"mqtt": "factory`, `"cron": "@daily", "mqtt": "factory`, "triggers[0].cron"},
		"IntoMissing":        {`, "into": "/var/lib/holdfast/looks"`, ``, "triggers[2].into"},
		"IntoOfFolder":       {`"glob": "*.pgm"`, `"into": "/x"`, "triggers[1].into"},
		"IntoTwice":          {`/var/lib/holdfast/report`, `/var/lib/holdfast/looks`, "triggers[3].into"},
		"IntoWatched":        {`/var/lib/holdfast/report`, `/var/lib/holdfast/inbox`, "triggers[3].into"},
		"Keep":               {`"keep": 10`, `"keep": -1`, "triggers[2].keep"},
		"ReplyToTheClock":    {`"keep": 10`, `"reply": "a"`, "triggers[2].reply"},
		"FileRelative":       {`/run/camera/latest.pgm`, `latest.pgm`, "triggers[2].file"},
		"ImageByTag":         {`line/surface` + digest, `line/surface:1`, "workloads[0].image"},
		"ImageShortDigest":   {`line/surface` + digest, `line/surface` + digest[:40], "workloads[0].image"},
		"ImageNotAllowed":    {`registry.example/line/surface`, `other.example/surface`, "workloads[0].image"},
		"WorkloadTwice":      {`"name": "surface"`, `"name": "batch-upload"`, "workloads[1]"},
		"WorkloadReplicas":   {`"replicas": 1, "entrypoint": null, "command": []`, `"replicas": -1`, "workloads[0].replicas"},
		"WorkloadIsNoObject": {`"workloads": [`, `"workloads": [7, `, "workloads[0]"},
		"ListIsNoList":       {`["batch-upload"]`, `"batch-upload"`, "offline.stop"},
	} {
		t.Run(name, func(t *testing.T) {
			changed := strings.Replace(document, test.old, test.new, 1)
			if changed == document {
				t.Fatalf("%q is not in the document", test.old)
			}
			_, err := edge.DecodePolicy([]byte(changed))
			if !errors.Is(err, edge.ErrInvalid) {
				t.Fatalf("error = %v, want an edge.ErrInvalid", err)
			}
			if got := fields(err); len(got) == 0 || got[0] != test.field {
				t.Errorf("fields = %q, want %q first; error: %v", got, test.field, err)
			}
		})
	}
	t.Run("CriticalKnown", func(t *testing.T) {
		decode(t, strings.Replace(document, `"kind"`, `"critical": ["security.hostPaths", "workloads.image", "tenants.*.cpu", "sla"], "kind"`, 1))
	})
	t.Run("TooLarge", func(t *testing.T) {
		_, err := edge.DecodePolicy([]byte(document + strings.Repeat(" ", edge.MaxPolicy)))
		var text *edge.JSONError
		if !errors.As(err, &text) || text.Reason != edge.JSONTooLarge {
			t.Errorf("error = %v, want too large", err)
		}
	})
	t.Run("ManyDefectsAreBounded", func(t *testing.T) {
		junk := strings.Replace(document, `"workloads": [`, `"workloads": [`+strings.Repeat("7,", 5000), 1)
		_, err := edge.DecodePolicy([]byte(junk))
		if got := len(fields(err)); got == 0 || got > 16 {
			t.Errorf("%d problems, want 1 to 16", got)
		}
	})
}

// fields lists what the problems of an error are about.
func fields(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []string
		for _, one := range joined.Unwrap() {
			all = append(all, fields(one)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil {
		if below := fields(inner); below != nil {
			return below
		}
	}
	var problem *edge.FieldProblem
	if errors.As(err, &problem) {
		return []string{problem.Field}
	}
	return nil
}

func TestPolicy_Encode(t *testing.T) {
	t.Run("CanonicalAndStable", func(t *testing.T) {
		first, err := decode(t, document).Encode()
		if err != nil {
			t.Fatal(err)
		}
		second, err := decode(t, string(first)).Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(first, second) {
			t.Errorf("encoded twice:\n%s\n%s", first, second)
		}
		if !bytes.HasPrefix(first, []byte(`{"agent":{"bandwidth":"512Ki","release":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","sources":["https://releases.example/holdfast"],"system":{"bandwidth":"256Ki","bundle":"https://releases.example/gateway-7.raucb","digest":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08","restart":"later","version":"7"}},"apiVersion":"holdfast/v1","classes":{"batch":{"deadline":"10m"},"normal"`)) {
			t.Errorf("not canonical: %.240s", first)
		}
	})
	t.Run("OrderAndSpaceOfTheSourceDoNotMatter", func(t *testing.T) {
		var tree any
		if err := json.Unmarshal([]byte(document), &tree); err != nil {
			t.Fatal(err)
		}
		shuffled, err := json.MarshalIndent(tree, "", "\t")
		if err != nil {
			t.Fatal(err)
		}
		got, _ := decode(t, string(shuffled)).Encode()
		want, _ := decode(t, document).Encode()
		if !bytes.Equal(got, want) {
			t.Error("the same policy encodes in two ways")
		}
	})
	t.Run("EmptyAndAbsentAreOne", func(t *testing.T) {
		policy := *decode(t, document)
		policy.Triggers, policy.Security.HostPaths = nil, nil
		want, _ := policy.Encode()
		policy.Triggers, policy.Security.HostPaths = []edge.Trigger{}, []string{}
		got, err := policy.Encode()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("got %s (%v)\nwant %s", got, err, want)
		}
	})
	t.Run("RefusesWhatNobodyWouldRead", func(t *testing.T) {
		policy := *decode(t, document)
		policy.Metadata.Version = 0
		if _, err := policy.Encode(); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("version 0: %v", err)
		}
		policy = *decode(t, document)
		for range 500 {
			policy.Triggers = append(policy.Triggers, edge.Trigger{MQTT: strings.Repeat("t", 200), Model: "m"})
		}
		if _, err := policy.Encode(); !errors.Is(err, edge.ErrInvalid) {
			t.Errorf("500 triggers: %v", err)
		}
	})
}

func TestPolicy_Tenant(t *testing.T) {
	policy := decode(t, document)
	if got, ok := policy.Tenant("stranger"); !ok || got.CPU != 0.25 {
		t.Errorf("stranger = %+v, %v; want the default tenant", got, ok)
	}
	delete(policy.Tenants, edge.DefaultTenant)
	if got, ok := policy.Tenant("stranger"); ok {
		t.Errorf("stranger = %+v, want none", got)
	}
	policy.Tenants = nil
	if _, ok := policy.Tenant("stranger"); !ok {
		t.Error("a policy without tenants governs them")
	}
}

func TestImagePolicy_Allows(t *testing.T) {
	for image, want := range map[string]bool{
		"registry.example/line/surface" + digest:   true,
		"registry.example/line/surface:1" + digest: true,
		"registry.example/line/a/b" + digest:       false,
		"registry.example:5000/line/a" + digest:    false,
		"evil/registry.example/line/a" + digest:    false,
	} {
		if got := (edge.ImagePolicy{Allow: []string{"registry.example/line/*"}}).Allows(image); got != want {
			t.Errorf("%s: %v, want %v", image, got, want)
		}
	}
	if !(edge.ImagePolicy{}).Allows("any") {
		t.Error("without patterns any name is allowed")
	}
}

func FuzzDecodePolicy(f *testing.F) {
	f.Add([]byte(document))
	f.Add([]byte(`{"apiVersion":"holdfast/v1","kind":"Policy","critical":["sla"],"metadata":{"name":"a","version":1,"audience":{"node":"n"}},"lease":{"hours":1,"boots":1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		policy, err := edge.DecodePolicy(text)
		if err != nil {
			if !errors.Is(err, edge.ErrInvalid) {
				t.Fatalf("not an ErrInvalid: %v", err)
			}
			return
		}
		first, err := policy.Encode()
		if err != nil {
			if len(text) < edge.MaxPolicy/8 { // escapes may make a text six times as long
				t.Fatalf("decoded but not encoded: %v", err)
			}
			return
		}
		again, err := edge.DecodePolicy(first)
		if err != nil {
			t.Fatalf("encoded but not decoded: %v", err)
		}
		second, err := again.Encode()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("not stable: %v\n%s\n%s", err, first, second)
		}
	})
}
