package text

// Heavy reports whether JSON holds more objects, or more values, than a reader is ready for. A few bytes make an object
// that takes hundreds once it is read: who reads a stranger's JSON asks first.
func Heavy(json []byte, objects, values int) bool {
	quoted := false
	for i := 0; i < len(json); i++ {
		switch c := json[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			objects--
			values--
		case c == '[', c == ',':
			values--
		}
		if objects < 0 || values < 0 {
			return true
		}
	}
	return false
}
