package trigger

import "github.com/backstop-dev/backstop/api/v1alpha1"

// Row is a row as the docs show it.
type Row struct {
	Doubt v1alpha1.DoubtType
	Fault v1alpha1.Fault
	Says  string
}

// Rows are all rows, in the order in which they are asked.
func Rows() []Row {
	var out []Row
	for _, r := range rows {
		out = append(out, Row{r.doubt, r.fault, r.says})
	}
	return out
}

// Certain reports that nothing speaks against the image: only then may a policy let it be reverted without a person.
func Certain(j *Judgement) bool {
	return j.Complete && j.Fault == v1alpha1.FaultImage && len(j.Evidence.Doubts) == 0
}

// CanaryRows are those of refused updates, in the order in which they are asked.
func CanaryRows() []Row {
	var out []Row
	for _, r := range canaryRows {
		out = append(out, Row{r.doubt, r.fault, r.says})
	}
	return out
}
