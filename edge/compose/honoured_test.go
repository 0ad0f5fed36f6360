package compose_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/schema"
	"github.com/compose-spec/compose-go/v2/tree"

	"holdfast/edge/compose"
)

// TestHonoured_AreCompose holds the list of honoured keys against the Compose
// schema, and against a key the schema does not have.
func TestHonoured_AreCompose(t *testing.T) {
	known := tree.NewMatcher(schema.AttributePaths()...)
	paths := compose.HonouredPaths()
	if len(paths) < 20 {
		t.Fatalf("got %d honoured keys, want the list", len(paths))
	}
	for _, path := range paths {
		if !known.Matches(tree.Path(path)) {
			t.Errorf("%s is honoured and no key of Compose", path)
		}
	}
	if known.Matches("services.*.imgae") {
		t.Error("the schema knows a key that does not exist, so this test cannot fail")
	}
}

// TestValues_AgreeWithCompose tries every kind of value on every honoured key: what is
// accepted here Compose accepts too, and means the same by it.
func TestValues_AgreeWithCompose(t *testing.T) {
	values := []string{"", "1", "-1", "0", "1.5", "1e9", ".inf", "true", "yes", "a", `"1"`, `""`, "10s", "2024-01-01", "5368709120", "1_000",
		`"0x10"`, `"1_000"`, `"1.5"`, "64m", `"1e40"`, `"99999999999999999999"`, `"a 'b c' $$D"`, `"a 'b"`, "0.1", "1e39", "no", `"true"`, `"on"`, "1h30m", "1w", "no-new-privileges", "16777217",
		"[]", "[a]", "[a, a]", "[1]", "[null]", "[[a]]", "[{a: b}]", "{}", "{a: b}", "{a: 1}", "{a: }", "{a: [b]}", "{a: 2024-01-01}", "{a: 1.50, b: 1e9, c: true}",
		"[N, M, COMPOSE_PROJECT_NAME]", "{N: , COMPOSE_PROJECT_NAME: , M: }", "[A=1, A=2, A]", "{x-a: 1}", "[x-a=1]", "['A =1']", "[KILL, KILL=1]", "[KILL=1, KILL]", "[NET_RAW, KILL, NET_RAW]",
		"[/a, /b]", "['/a:size=1m', '/a:size=2m']", "[/a, '/a:size=2m']", "[no-new-privileges, no-new-privileges]",
		"[/dev/a]", "['/dev/a:/dev/b:rw', /dev/c]", "['/dev/a:/dev/b', '/dev/c:/dev/b']", "['/dev/a::r']", "['/dev/a:/dev/b:mr']", "['/dev/a:/dev/b:']", "['v.d/c=x']", "[{source: /dev/a}]",
		"['/a:/b', '/c:/d:ro', '/e:/f:rw']", "['/a:/b:z']", "['/a:/b:']", "['/a:/b/']", "['a:/b']", "['./a:/b']", "['/a']", "['/a:/b:ro:x']", "['/a$${:/b']", "['/a:/b', '/c:/b']", "[':/b']", "['/:/b']",
		"[{type: bind, source: /a, target: /b}]", "[{type: bind, source: /a, target: /b, read_only: true}, '/c:/d']", "[{type: bind, source: /a, target: /b, read_only: 'true'}]",
		"[{type: bind, source: /a, target: /b, read_only: }]", "[{type: bind, source: /a, target: /b, read_only: 1}]", "[{type: bind, source: /a, target: /b, bind: {propagation: shared}}]",
		"[{type: volume, source: a, target: /b}]", "[{type: tmpfs, target: /b}]", "[{source: /a, target: /b}]", "[{type: bind, source: 1, target: /b}]", "[{type: bind, source: /a, target: 2024-01-01}]", "host", "none", "bridge",
		"['bb:/b', 'cc:/c:ro', 'aa:/d:rw']", "['dd:/b']", "['bb:b']", "['b:/b']", "[{type: volume, source: bb, target: /b, read_only: true}]", "[{type: volume, target: /b}]", "[{type: volume, source: /a, target: /b}]", "[bb]", "['aa:/b', '/a:/b']", "[b, a]", "{b: , a: }", "{a: {}}", "{a: {aliases: [x]}}", "[default]", "[a, c]", "{c: , b: }",
		"['8080:80']", "['80']", "[80]", "['8080:80', '8081:80/tcp']", "['8080:80/udp']", "['127.0.0.1:80:80']", "['0.0.0.0:80:80', '127.0.0.2:81:80']", "['[::1]:80:80']", "['80-82:90-92']", "['80-82:90']",
		"['80:80', '80:80']", "['80:80', '80:81']", "[{target: 80, published: 8080}]", "[{target: 80, published: '8080'}]", "[{target: 80, published: '80-90'}]", "[{target: '80', published: 80}]", "[{target: 80}]",
		"[{target: 80, published: 80, host_ip: 127.0.0.1}]", "[{target: 80, published: 80, host_ip: '::'}]", "[{target: 80, published: 0o17}]", "[{target: 0x50, published: 1_0}]", "[{target: 80, published: 80, protocol: TCP}]", "['80:80/TCP']", "['::80:80']", "['010:80']", "['1.2.3.4::80']", "['01.2.3.4:80:80']",
		"[{target: 80, published: 80, protocol: }]", "[{target: 80, published: , host_ip: }]", "[{target: 80, published: ' 80'}]", "[{target: 80, published: 08}]", "[{target: 80, published: 80, host_ip: 1.2}]",
		"[{source: a}]", "[{source: a, target: b}]", "[{source: a, target: /b/c, mode: 0440}]", "[{source: a, mode: '0440'}]", "[{source: a, mode: 288}]", "[{source: a, mode: 1.5}]",
		"[{source: a, target: }]", "[{source: a, target: ''}]", "[{source: a, mode: }]", "[{source: a}, {source: a, target: b}]", "[a, {source: a, target: /run/secrets/a}]", "[a, {source: a, target: ./b}]"}
	accepted := 0
	for _, path := range compose.HonouredPaths() {
		key, ok := strings.CutPrefix(path, "services.*.")
		if !ok {
			continue
		}
		for _, value := range values {
			accepted += agrees(t, document(key, value))
		}
	}
	if accepted < 100 {
		t.Errorf("got %d accepted values, want enough to mean something", accepted)
	}
}

// TestPairs_AgreeWithCompose says the same matter twice, in all ways.
func TestPairs_AgreeWithCompose(t *testing.T) {
	accepted := 0
	for short, deploy := range map[string]string{"scale": "", "cpus": "cpus", "mem_limit": "memory", "pids_limit": "pids"} {
		for _, a := range []string{"", "1", "0.5", `"64m"`, `"67108864"`, "67108864", `"1"`, "0"} {
			for _, b := range []string{"", `"1"`, "1", "0.5", `"64m"`, `"67108864"`, "0"} {
				limits := "resources: {limits: {" + deploy + ": " + b + "}}"
				switch {
				case deploy == "":
					limits = "replicas: " + b
				case b == "":
					limits = "resources: {limits: {}}"
				}
				accepted += agrees(t, fmt.Sprintf("services: {a: {image: b, %s: %s, deploy: {%s}}}", short, a, limits))
			}
		}
	}
	if accepted < 10 {
		t.Errorf("got %d accepted pairs, want some of each", accepted)
	}
}

// agrees counts 1 when text is accepted, which Compose must then do too.
func agrees(t *testing.T, text string) int {
	t.Helper()
	got, err := load(t, text, environ...)
	if err != nil {
		return 0
	}
	want, err := compose.LoadByCompose(t.Context(), compose.Options{Path: "/apps/line-3/compose.yaml", Content: []byte(text), Environ: environ})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %+v, want %+v, %v", text, got, want, err)
	}
	return 1
}

// TestOracle_Refuses is the negative control: what is wrong only by the Compose schema,
// or only by the loader's own checks, it refuses.
func TestOracle_Refuses(t *testing.T) {
	for _, text := range []string{
		"services: {a: {image: b, imgae: c}}", "services: {a: {image: b, user: 1}}",
		"services: {a: {image: b, security_opt: [no-new-privileges, no-new-privileges]}}",
		"services: {a: {image: b, tmpfs: [/a, '/a:size=1m']}}", "services: {a: {image: b, scale: 1, deploy: {replicas: 2}}}",
	} {
		got, err := compose.LoadByCompose(t.Context(), compose.Options{Path: "/apps/line-3/compose.yaml", Content: []byte(text)})
		if err == nil {
			t.Errorf("%s: got %+v, want a refusal", text, got)
		}
		if got, err := load(t, text); err == nil {
			t.Errorf("%s: got %+v, want a refusal", text, got)
		}
	}
}

func TestNames_AgreeWithCompose(t *testing.T) {
	for _, text := range []string{"", "line-3", "Line 3!", "__a", "-_a_-", "\u212aelvin", "\u0130stanbul", "\xff1", "a.b/c", "ÄÖ9"} {
		if got, want := compose.NormalName(text), compose.ComposeName(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// document writes a service that sets one key, however deep.
func document(key, value string) string {
	const secrets = "secrets: {a: {external: true}, b: {external: true, name: site-b}}\nvolumes: {aa: , bb: {}, cc: {external: false}}\nnetworks: {a: {internal: true}, b: {internal: false}, c: {external: true, name: plant}}\n"
	parts := strings.Split(key, ".")
	open := strings.Join(parts, ": {")
	image := "image: b, "
	if key == "image" {
		image = ""
	}
	return secrets + fmt.Sprintf("services: {a: {%s%s: %s%s}}\n", image, open, value, strings.Repeat("}", len(parts)-1))
}
