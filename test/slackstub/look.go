package slackstub

// Look shows people, channels and apps, which the function must not keep.
func (w *Workspace) Look(f func(*Team)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w.team)
}
