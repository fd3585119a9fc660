package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstop-dev/backstop/api/v1alpha1"
)

func TestWhatWorkloadsSayMakesAPolicyStricter(t *testing.T) {
	auto := Policy{Mode: v1alpha1.ModeAuto, By: []string{"prod/p"}}
	for name, c := range map[string]struct {
		policy Policy
		wishes map[string]Preference
		mode   v1alpha1.Mode
		bar    v1alpha1.Bar
		asks   []v1alpha1.DoubtType
	}{
		"nothing":                {policy: auto, wishes: map[string]Preference{"Deployment/web": {}}, mode: v1alpha1.ModeAuto},
		"never":                  {policy: auto, wishes: map[string]Preference{"Deployment/web": {Annotation: "never"}}, mode: v1alpha1.ModeNotify, bar: v1alpha1.BarAnnotation},
		"never of a namespace":   {policy: auto, wishes: map[string]Preference{NamespacePreference: {Annotation: "never"}, "Deployment/web": {Annotation: "ask"}}, mode: v1alpha1.ModeNotify, bar: v1alpha1.BarAnnotation, asks: []v1alpha1.DoubtType{v1alpha1.DoubtAnnotation}},
		"one workload of two":    {policy: auto, wishes: map[string]Preference{"Deployment/api": {Annotation: "never"}, "Deployment/web": {}}, mode: v1alpha1.ModeNotify, bar: v1alpha1.BarAnnotation},
		"ask":                    {policy: auto, wishes: map[string]Preference{"Deployment/web": {Annotation: "ask"}}, mode: v1alpha1.ModeAuto, asks: []v1alpha1.DoubtType{v1alpha1.DoubtAnnotation}},
		"a word that nobody is":  {policy: auto, wishes: map[string]Preference{"Deployment/web": {Annotation: "Never"}}, mode: v1alpha1.ModeAuto, asks: []v1alpha1.DoubtType{v1alpha1.DoubtAnnotation}},
		"a hint":                 {policy: auto, wishes: map[string]Preference{"StatefulSet/db": {Migrates: "it has volumes"}}, mode: v1alpha1.ModeAuto, asks: []v1alpha1.DoubtType{v1alpha1.DoubtMigration}},
		"what Flux leaves alone": {policy: auto, wishes: map[string]Preference{"Deployment/web": {LeftAlone: true}}, mode: v1alpha1.ModeAuto, asks: []v1alpha1.DoubtType{v1alpha1.DoubtSuspended}},
		"a suspension stays one": {policy: Policy{Mode: v1alpha1.ModeNotify, Bar: v1alpha1.BarSuspended}, wishes: map[string]Preference{"Deployment/web": {Annotation: "never"}}, mode: v1alpha1.ModeNotify, bar: v1alpha1.BarSuspended},
	} {
		t.Run(name, func(t *testing.T) {
			got := preferring(c.policy, c.wishes)
			var asks []v1alpha1.DoubtType
			for _, d := range got.Asks {
				asks = append(asks, d.Type)
			}
			if got.Mode != c.mode || got.Bar != c.bar || !cmp.Equal(asks, c.asks) {
				t.Errorf("%s %s %v: %s", got.Mode, got.Bar, asks, got.Why)
			}
		})
	}
}
