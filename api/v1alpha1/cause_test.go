package v1alpha1

import "testing"

func TestEveryCauseHasARow(t *testing.T) {
	seen := map[Cause]bool{}
	for _, r := range Causes() {
		if r.Fault == "" || r.Words == "" || seen[r.Cause] {
			t.Errorf("%s: fault %q, words %q, seen before %v", r.Cause, r.Fault, r.Words, seen[r.Cause])
		}
		seen[r.Cause] = true
	}
	if c := Cause("FromANewerBackstop"); c.ImageFault() || c.Fault() != FaultUnknown || c.Words() != "" {
		t.Errorf("a cause of another version is %s's fault: %q", c.Fault(), c.Words())
	}
}

func TestWeighCauses(t *testing.T) {
	tests := map[string]struct {
		found []Cause
		want  Cause
	}{
		"nothing is unknown": {nil, CauseUnknown},
		"one is itself":      {[]Cause{CauseNotFound}, CauseNotFound},
		"the image's fault beside another's is unknown":   {[]Cause{CauseNotFound, CauseUnauthorized}, CauseUnknown},
		"of two of the image's the higher rank counts":    {[]Cause{CauseNotFound, CausePlatformMismatch}, CausePlatformMismatch},
		"of two others the one nearer to the node counts": {[]Cause{CauseRegistryUnavailable, CauseNodeFault}, CauseNodeFault},
		"what cannot be told makes all of it unknown":     {[]Cause{CauseNotFound, CauseUnknown}, CauseUnknown},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			found := map[Cause]bool{}
			for _, c := range tt.found {
				found[c] = true
			}
			if got := WeighCauses(found); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// A cause that a release adds is a row and a phrase: nothing else has to learn of it.
func TestANewCauseIsARow(t *testing.T) {
	kept := causes
	defer func() { causes = kept }()
	causes = append([]CauseRow{{"SignatureMissing", FaultImage, "the image is not signed"}}, causes...)
	c := Cause("SignatureMissing")
	if got := WeighCauses(map[Cause]bool{c: true}); got != c || !c.ImageFault() || c.Words() != "the image is not signed" {
		t.Errorf("weighed as %s, the image's fault %v, %q", got, c.ImageFault(), c.Words())
	}
}
