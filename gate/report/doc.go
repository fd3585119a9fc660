// Package report is what a check found, and the ways to write it: text, JSON, GitHub's annotations, GitLab's Code
// Quality, SARIF and JUnit. What it writes comes from strangers' files, and is escaped for each.
package report
