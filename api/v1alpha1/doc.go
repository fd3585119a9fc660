// Package v1alpha1 holds Backstop's nouns: RollbackPolicy, which says what may
// be reverted, and Rollback, the record of one image that could not run. They
// are used everywhere; there is no second domain type.
//
// A Rollback is a record of steps, filled in order and never erased. Its phase
// is the first step that is not done:
//
//	failures → suspect → target → verdict → change → landed → request → outcome → lift
//	 seen       read      read     pure      write    read     write     pure      write
//
// +kubebuilder:object:generate=true
// +groupName=backstop.dev
package v1alpha1
