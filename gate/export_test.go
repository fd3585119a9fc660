package gate

// Witness is witness.
func Witness(own string, patterns ...string) (string, bool) { return witness(own, patterns...) }
