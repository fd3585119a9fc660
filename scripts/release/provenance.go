package release

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	statementType  = "https://in-toto.io/Statement/v1"
	provenanceType = "https://slsa.dev/provenance/v1"
	sbomType       = "https://spdx.dev/Document"
)

// provenance says from what and how a release was built, as SLSA's predicate. Who built it is said by a signature: the
// workflow adds a statement of its own, which its builder signs.
func (r *release) provenance() ([]byte, error) {
	platforms := make([]string, len(r.platforms))
	for i, p := range r.platforms {
		platforms[i] = p.String()
	}
	return json.Marshal(map[string]any{
		"buildDefinition": map[string]any{
			"buildType":          source + "/blob/main/docs/releases.md",
			"externalParameters": map[string]any{"version": r.version, "platforms": platforms},
			"resolvedDependencies": []any{
				map[string]any{"uri": "git+" + source, "digest": map[string]string{"gitCommit": r.commit}},
				map[string]any{"uri": "https://go.dev/dl/#" + r.goVersion, "name": r.goVersion},
			},
		},
		"runDetails": map[string]any{"builder": map[string]any{"id": source + "/blob/main/scripts/release"}},
	})
}

// sums writes the checksum of every file that users download, and the provenance of them all.
func (r *release) sums(context.Context) error {
	pushed := ""
	for _, repository := range repositories {
		_, digest, err := open(r.out, repository)
		if err != nil {
			return err
		}
		tag := r.version
		if repository == chartRepository {
			tag = r.bare
		}
		pushed += registry + "/" + repository + ":" + tag + "@" + digest.String() + "\n"
	}
	if err := r.write(artifacts, []byte(pushed)); err != nil {
		return err
	}
	names, err := r.assets()
	if err != nil {
		return err
	}
	var subjects []any
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return fmt.Errorf("read what was made: %w", err)
		}
		subjects = append(subjects, map[string]any{"name": name, "digest": map[string]string{"sha256": sum(data)}})
	}
	predicate, err := r.provenance()
	if err != nil {
		return err
	}
	statement, err := json.Marshal(map[string]any{
		"_type": statementType, "subject": subjects, "predicateType": provenanceType, "predicate": json.RawMessage(predicate),
	})
	if err != nil {
		return fmt.Errorf("write the provenance: %w", err)
	}
	if err := r.write("provenance.intoto.jsonl", append(statement, '\n')); err != nil {
		return err
	}
	if names, err = r.assets(); err != nil {
		return err
	}
	var lines strings.Builder
	for _, name := range names {
		data, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return fmt.Errorf("read what was made: %w", err)
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum(data), name)
	}
	return r.write(checksums, []byte(lines.String()))
}

// assets are the files that users download, sorted; the folders of binaries and of layouts are none.
func (r *release) assets() ([]string, error) {
	entries, err := os.ReadDir(r.out)
	if err != nil {
		return nil, fmt.Errorf("list what was made: %w", err)
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != checksums {
			out = append(out, e.Name())
		}
	}
	slices.Sort(out)
	return out, nil
}
