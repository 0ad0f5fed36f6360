package agent

import (
	"fmt"
	"strings"

	"holdfast/edge"
	"holdfast/edge/site"
)

const (
	codeSiteFile    = "site-file-invalid"
	codeSiteSecrets = "site-secrets-left"
	// mostFaults are as many as a warning names; all stand beside the file.
	mostFaults = 3
)

// heedSiteFile takes note of what became of the file on the boot partition before the agent
// was started. A node that has no such partition has no report either.
func (a *Agent) heedSiteFile() {
	report, err := site.ReadReport(a.config.Load().Paths.State)
	if err != nil {
		a.options.Log.Warn("site-report-unreadable", "error", err.Error())
		return
	}
	a.siteFile.Store(siteFileReport(report))
	a.warnings.Clear(codeSiteSecrets, site.Name)
	if len(report.Left) > 0 {
		remedy := "see that the boot partition can be written to; it is tried again at each start of the machine"
		if report.Unkept {
			remedy = "they stay because this machine keeps nothing: its state lies in memory; see why its data partition cannot be used"
		}
		a.warnings.Raise(edge.Warning{
			Code: codeSiteSecrets, Subject: site.Name,
			Detail: "secrets could not be removed from the boot partition: " + strings.Join(report.Left, ", "),
			Remedy: remedy,
		})
	}
	if report.Refused == nil {
		a.warnings.Clear(codeSiteFile, site.Name)
		return
	}
	a.warnings.Raise(edge.Warning{
		Code: codeSiteFile, Subject: site.Name, Detail: refusedWords(report.Refused),
		Remedy: "correct it on the boot partition, and start the machine again; the node goes on with what it had",
	})
}

func refusedWords(refused *site.Refused) string {
	words := []string{}
	for _, fault := range refused.Faults[:min(len(refused.Faults), mostFaults)] {
		words = append(words, fault.String())
	}
	if more := len(refused.Faults) - mostFaults; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return refused.File + " was not applied: " + strings.Join(words, " | ")
}

// siteFileReport is the report as status shows it; nil where there never was a site file.
func siteFileReport(from site.Report) *edge.SiteFileReport {
	if from.Applied == nil && from.Refused == nil {
		return nil
	}
	report := &edge.SiteFileReport{}
	if from.Applied != nil {
		report.File, report.Digest, report.Applied = from.Applied.File, from.Applied.Digest, from.Applied.At
	}
	if from.Refused != nil {
		report.Refused = from.Refused.File
		for _, fault := range from.Refused.Faults {
			report.Faults = append(report.Faults, fault.String())
		}
	}
	return report
}
