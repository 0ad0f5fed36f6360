package monitoring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// series are figures by their labels, as promtool writes what comes each minute: 0x10 is ten
// minutes of nothing, 0+3x10 grows by three.
type series map[string]string

// moment is what an alert is tried with: from when it fires, and a node like it that is well.
type moment struct {
	alert  string
	at     string
	fires  series
	silent series
}

// flat writes an expected answer in the form of promtool.
type flat map[string]any

func warning(alert, code, other string) moment {
	return moment{
		alert, "20m",
		series{`holdfast_warnings{code="` + code + `",instance="gw"}`: "1x30"},
		series{`holdfast_warnings{code="` + other + `",instance="gw"}`: "1x30"},
	}
}

// late is a class of which so many tasks a minute are in time and late.
func late(onTime, missed string) series {
	return series{
		`holdfast_tasks_total{class="urgent",outcome="completed",model="m",route="local",instance="gw"}`: onTime,
		`holdfast_tasks_total{class="urgent",outcome="missed",model="m",route="",instance="gw"}`:         missed,
		`holdfast_deadline_missed_total{class="urgent",instance="gw"}`:                                   missed,
	}
}

// recoveries are four within the hour, of which so many took a second at most.
func recoveries(quick string) series {
	all := "0x10 4x80"
	return series{
		`holdfast_recovery_seconds_bucket{le="1",instance="gw"}`:    quick,
		`holdfast_recovery_seconds_bucket{le="60",instance="gw"}`:   all,
		`holdfast_recovery_seconds_bucket{le="+Inf",instance="gw"}`: all,
		`holdfast_recovery_seconds_count{instance="gw"}`:            all,
	}
}

func one(name, fires, silent, at string) moment {
	return moment{strings.Fields(name)[0], at, series{strings.Fields(name)[1]: fires}, series{strings.Fields(name)[1]: silent}}
}

func moments() []moment {
	link := `holdfast_link_up{link="fleet",instance="gw"}`
	outbox := `holdfast_outbox_entries{stream="telemetry",instance="gw"}`
	submitted, completed := `holdfast_tasks_submitted_total{class="urgent",instance="gw"}`, `holdfast_tasks_total{class="urgent",outcome="completed",instance="gw"}`
	refused := `holdfast_tasks_total{class="batch",outcome="refused",instance="gw"}`
	answered := `holdfast_tasks_total{class="batch",outcome="completed",instance="gw"}`
	build, started := `holdfast_build_info{node="gw",version="1",instance="gw"}`, `process_start_time_seconds{instance="gw"}`
	return []moment{
		{"HoldfastDeadlineBurnFast", "70m", late("0+97x90", "0+3x90"), late("0+999x90", "0+1x90")},
		{"HoldfastDeadlineBurnFast", "70m", late("0+980x90", "0+20x90"), late("0+97x60 5820+100x30", "0+3x60 180+0x30")}, // over for ten minutes
		{"HoldfastDeadlineBurnSlow", "7h", late("0+99x500", "0+1x500"), late("0+997x500", "0+3x500")},
		{"HoldfastNoUrgentOnTime", "30m", series{submitted: "0+2x40", completed: "7x40"}, series{submitted: "0+2x40", completed: "7+1x40"}},
		{"HoldfastOverload", "30m", series{refused: "0+30x40", answered: "0+70x40"}, series{refused: "0+10x40", answered: "0+90x40"}},
		{
			"HoldfastTenantOverQuota", "40m",
			series{`holdfast_tenant_over_quota_total{tenant="v",instance="gw"}`: "0+6x50", `holdfast_tenant_tasks_total{tenant="v",instance="gw"}`: "0+10x50"},
			series{`holdfast_tenant_over_quota_total{tenant="v",instance="gw"}`: "0+1x50", `holdfast_tenant_tasks_total{tenant="v",instance="gw"}`: "0+10x50"},
		},
		{"HoldfastCutOff", "6m", series{link: "0x10"}, series{link: "1x10"}},
		{"HoldfastCutOff", "6m", series{link: "1 0x9"}, series{link: "0x4 1 0x5"}}, // it was there in between
		{"HoldfastCutOffForLong", "13h", series{link: "0x900"}, series{link: "0x700 1 0x100"}},
		one(`HoldfastSiteBrokerLost holdfast_link_up{link="site",instance="gw"}`, "0x10", "1x10", "6m"),
		{"HoldfastOutboxGrowing", "80m", series{outbox: "2000+10x90", link: "1x90"}, series{outbox: "5000-10x90", link: "1x90"}},
		{"HoldfastOutboxGrowing", "80m", series{outbox: "1001+1x90", link: "1x90"}, series{outbox: "2000+10x90", link: "0x90"}}, // cut off it has to
		warning("HoldfastHistoryLost", "spool-full", "spool-short"),
		{
			"HoldfastLinkBudget", "10m",
			series{`holdfast_link_month_bytes{link="fleet",instance="gw"}`: "95x15", `holdfast_link_month_budget_bytes{link="fleet",instance="gw"}`: "100x15"},
			series{`holdfast_link_month_bytes{link="fleet",instance="gw"}`: "95x15", `holdfast_link_month_budget_bytes{link="fleet",instance="gw"}`: "0x15"}, // unbounded
		},
		one(`HoldfastLeaseRunningOut holdfast_policy_lease_left_seconds{instance="gw"}`, "259000x20", "260000x20", "12m"),
		one(`HoldfastLeaseRunningOut holdfast_policy_lease_left_boots{instance="gw"}`, "9x20", "0x20", "12m"),
		one(`HoldfastLeaseEnded holdfast_policy_state{state="degraded",instance="gw"}`, "1x9", "0x9", "5m"),
		one(`HoldfastNoPolicy holdfast_policy_state{state="none",instance="gw"}`, "1x9", "0x9", "5m"),
		{"HoldfastPolicyTakenBack", "5m", series{`holdfast_policy_state{state="previous",instance="gw"}`: "1x9"}, series{`holdfast_policy_state{state="current",instance="gw"}`: "1x9"}},
		warning("HoldfastPolicyTakenBack", "policy-rolled-back", "policy-withheld"),
		one(`HoldfastPolicyOnTrial holdfast_policy_trial{instance="gw"}`, "1x20", "1x5 0x15", "17m"),
		warning("HoldfastPolicyWithheld", "policy-withheld", "policy-factory"),
		warning("HoldfastPolicyNotKept", "state-read-only", "state-recovered"),
		{
			"HoldfastWorkloadNotReady", "7m",
			series{`holdfast_workload_ready{workload="l/d",instance="gw"}`: "1x9", `holdfast_workload_replicas{workload="l/d",instance="gw"}`: "2x9"},
			series{`holdfast_workload_ready{workload="l/d",instance="gw"}`: "3x9", `holdfast_workload_replicas{workload="l/d",instance="gw"}`: "2x9"}, // in an update
		},
		warning("HoldfastCrashLoop", "crash-loop", "start-failed"),
		warning("HoldfastWorkloadCannotRun", "start-failed", "crash-loop"),
		warning("HoldfastUpdateFailed", "version-failed", "crash-loop"),
		{"HoldfastSlowRecovery", "30m", recoveries("0x10 1x80"), recoveries("0x10 4x80")},
		one(`HoldfastFlashWear holdfast_flash_written_bytes_total{instance="gw"}`, "0+100000x600", "0+50000x600", "9h"),
		one(`HoldfastContainerdDown holdfast_containerd_up{instance="gw"}`, "0x9", "1x9", "3m"),
		one(`HoldfastUpstreamDown holdfast_breaker_state{upstream="plant",instance="gw"}`, "2x9", "1x9", "7m"),
		warning("HoldfastFilesWait", "inbox-waits", "crash-loop"),
		one(`HoldfastFilesUnfit holdfast_inbox_unfit_total{instance="gw"}`, "0 1x30", "7x30", "20m"),
		one(`HoldfastAgentDown up{job="holdfast",instance="gw"}`, "0x9", "1x9", "4m"),
		one(`HoldfastAgentAbsent up{job="holdfast",instance="gw"}`, "1 stale", "1x20", "17m"),
		{"HoldfastAgentRestarts", "30m", series{build: "1x40", started: "1x5 2x5 3x5 4x30"}, series{build: "1x40", started: "1x5 2x40"}},
		{"HoldfastAgentRestarts", "30m", series{build: "1x40", started: "1x5 2x5 3x5 4x30"}, series{started: "1x5 2x5 3x5 4x30"}}, // of another program
		one(`HoldfastDrained holdfast_draining{instance="gw"}`, "1x90", "1x50 0x40", "70m"),
		{
			"HoldfastMemoryTight", "15m",
			series{`holdfast_node_memory_used_bytes{instance="gw"}`: "95x20", `holdfast_node_memory_bytes{instance="gw"}`: "100x20"},
			series{`holdfast_node_memory_used_bytes{instance="gw"}`: "90x20", `holdfast_node_memory_bytes{instance="gw"}`: "100x20"},
		},
		warning("HoldfastMemoryTight", "memory-tight", "memory-overclaimed"),
		warning("HoldfastDiskTight", "disk-short", "memory-tight"),
		{
			"HoldfastDiskTight", "15m",
			series{`holdfast_node_disk_free_bytes{instance="gw"}`: "4x20", `holdfast_node_disk_bytes{instance="gw"}`: "100x20"},
			series{`holdfast_node_disk_free_bytes{instance="gw"}`: "6x20", `holdfast_node_disk_bytes{instance="gw"}`: "100x20"},
		},
		one(`HoldfastHot holdfast_node_temperature_celsius{instance="gw"}`, "90x20", "80x20", "15m"),
		one(`HoldfastHealthLow holdfast_health_score{instance="gw"}`, "30x20", "50x20", "15m"),
		warning("HoldfastHealthLow", "health-low", "memory-tight"),
		one(`HoldfastWarning holdfast_warnings{code="anything",instance="gw"}`, "1x90", "1x40 stale", "70m"),
	}
}

// trials are unit tests of promtool, as JSON, which is YAML too: all on one clock, each on a node
// of its own.
type trials struct {
	input, expected []flat
}

// add tries an alert with figures of the node gw.
func (t *trials) add(figures series, alert, at string, fires bool) {
	node := fmt.Sprintf(`instance="gw%d"`, len(t.expected))
	for name, values := range figures {
		t.input = append(t.input, flat{"series": strings.ReplaceAll(name, `instance="gw"`, node), "values": values})
	}
	samples := []flat{}
	if fires {
		samples = append(samples, flat{"labels": "{}", "value": 1})
	}
	if alert == "HoldfastAgentAbsent" {
		node = "" // it is about no node
	}
	t.expected = append(t.expected, flat{
		"expr": `count(ALERTS{alertname="` + alert + `",alertstate="firing",` + node + `})`, "eval_time": at, "exp_samples": samples,
	})
}

func (t *trials) group() flat {
	return flat{"interval": "1m", "input_series": t.input, "promql_expr_test": t.expected}
}

// judge has promtool run tests against a file of rules.
func judge(t testing.TB, every string, groups ...flat) (said string, err error) {
	t.Helper()
	text, err := json.Marshal(flat{"rule_files": []string{absolute(t, rulesFile)}, "evaluation_interval": every, "tests": groups})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tests.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "test", "rules", file)
}

func promtool(t testing.TB, args ...string) (said string, err error) {
	t.Helper()
	path, err := filepath.Abs("../../.tools/bin/promtool")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("promtool is not there: run build/provision/provision.sh --only test: %v", err)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	return string(out), err
}

func absolute(t testing.TB, path string) string {
	t.Helper()
	at, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestRules_Load(t *testing.T) {
	if said, err := promtool(t, "check", "rules", rulesFile); err != nil {
		t.Errorf("promtool finds: %s", said)
	}
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	text := strings.Replace(read(t, rulesFile), "holdfast_containerd_up == 0", "holdfast_containerd_up = 0", 1)
	if err := os.WriteFile(broken, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if said, err := promtool(t, "check", "rules", broken); err == nil {
		t.Errorf("promtool finds nothing wrong with rules that are: %s", said)
	}
}

func TestRules_FireAndAreSilent(t *testing.T) {
	tried := map[string]bool{}
	var reversed trials
	together := map[string]*trials{}
	for _, m := range moments() {
		tried[m.alert] = true
		for fires, figures := range map[bool]series{true: m.fires, false: m.silent} {
			own := clock(m, fires)
			if together[own] == nil {
				together[own] = &trials{}
			}
			together[own].add(figures, m.alert, m.at, fires)
		}
		if m.at == "6m" {
			reversed.add(m.fires, m.alert, m.at, false)
		}
	}
	for own, these := range together {
		every, _, _ := strings.Cut(own, " ")
		if said, err := judge(t, every, these.group()); err != nil {
			t.Errorf("promtool finds: %s", said)
		}
	}
	for name := range alerts(t) {
		if !tried[name] {
			t.Errorf("nobody tries when %s fires", name)
		}
	}
	said, err := judge(t, "1m", reversed.group())
	if got := strings.Count(said, "got:"); err == nil || got != len(reversed.expected) || got == 0 {
		t.Errorf("of %d expectations that are wrong %d are found: %v", len(reversed.expected), got, err)
	}
}

// clock is how often figures are looked at, and what cannot share a clock with others.
func clock(m moment, fires bool) string {
	switch {
	case m.alert == "HoldfastAgentAbsent": // others' nodes would be there
		return fmt.Sprint("1m alone ", fires)
	case strings.HasSuffix(m.at, "h"): // hours need not be looked at each minute
		return "10m"
	}
	return "1m"
}

// TestRules_SayWhom: what a person reads has the node's name and figure in it.
func TestRules_SayWhom(t *testing.T) {
	m := flat{"interval": "1m", "input_series": []flat{{"series": `holdfast_breaker_state{upstream="plant",instance="gw"}`, "values": "2x9"}}, "alert_rule_test": []flat{{
		"eval_time": "7m", "alertname": "HoldfastUpstreamDown",
		"exp_alerts": []flat{{
			"exp_labels": flat{"severity": "warning", "upstream": "plant", "instance": "gw"},
			"exp_annotations": flat{
				"summary":     "gw: upstream plant is left alone",
				"description": "Its breaker has been open for five minutes. Tasks of models that the node serves too are answered by the node; others are refused.",
				"remedy":      "holdfast status says what the last attempt failed with.",
				"docs":        "docs/what-happens-when.md#an-upstream-says-nothing",
			},
		}},
	}}}
	if said, err := judge(t, "1m", m); err != nil {
		t.Errorf("promtool finds: %s", said)
	}
}

var expression = regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`)

// understood has promtool read expressions as if they were rules.
func understood(t testing.TB, exprs ...string) (said string, err error) {
	t.Helper()
	var rules []flat
	for i, expr := range exprs {
		rules = append(rules, flat{"record": fmt.Sprintf("dashboard:%d", i), "expr": strings.ReplaceAll(expr, "$instance", ".*")})
	}
	text, err := json.Marshal(flat{"groups": []flat{{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return promtool(t, "check", "rules", file)
}

// TestDashboard_IsUnderstood: Prometheus can read what panels ask.
func TestDashboard_IsUnderstood(t *testing.T) {
	var exprs []string
	for _, match := range expression.FindAllStringSubmatch(read(t, dashboardFile), -1) {
		var expr string
		if err := json.Unmarshal([]byte(match[1]), &expr); err != nil {
			t.Fatal(err)
		}
		exprs = append(exprs, expr)
	}
	if said, err := understood(t, exprs...); err != nil || len(exprs) < 40 {
		t.Errorf("of %d questions promtool says %s", len(exprs), said)
	}
	if said, err := understood(t, exprs[0]+"))"); err == nil {
		t.Errorf("of what is no question promtool says %s", said)
	}
}
