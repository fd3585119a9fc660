package report

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"slices"
)

// SARIF 2.1.0, as far as code scanning reads it.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool    sarifTool     `json:"tool"`
		Results []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID               string    `json:"id"`
		ShortDescription sarifText `json:"shortDescription"`
		HelpURI          string    `json:"helpUri"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           int               `json:"ruleIndex"`
		Level               string            `json:"level"`
		Message             sarifText         `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI       string `json:"uri"`
		URIBaseID string `json:"uriBaseId"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
)

const home = "https://github.com/backstop-dev/backstop"

func (r *Report) sarif() sarifLog {
	levels := map[Level]string{LevelError: "error", LevelUnknown: "warning", LevelNote: "note"}
	rules := r.rules()
	driver := sarifDriver{Name: "backstop", InformationURI: home, Rules: []sarifRule{}}
	for _, rule := range rules {
		driver.Rules = append(driver.Rules, sarifRule{
			ID: string(rule), ShortDescription: sarifText{rule.about()},
			HelpURI: home + "/blob/main/docs/gate.md#" + string(rule),
		})
	}
	results := []sarifResult{}
	for _, f := range r.Findings {
		at := sarifPhysical{
			ArtifactLocation: sarifArtifact{URI: (&url.URL{Path: f.File}).String(), URIBaseID: "%SRCROOT%"},
			Region:           sarifRegion{StartLine: max(1, f.Line)},
		}
		results = append(results, sarifResult{
			RuleID: string(f.Rule), RuleIndex: slices.Index(rules, f.Rule), Level: levels[f.Level],
			Message: sarifText{f.say()}, Locations: []sarifLocation{{at}},
			PartialFingerprints: map[string]string{
				"backstop/v1": fmt.Sprintf("%x", sha256.Sum256([]byte(f.Print()))),
			},
		})
	}
	return sarifLog{
		Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0",
		Runs: []sarifRun{{Tool: sarifTool{driver}, Results: results}},
	}
}
