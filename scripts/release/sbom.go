package release

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// rootsModule holds the root certificates, which the image has as a file: no binary names it.
const rootsModule = "golang.org/x/crypto/x509roots/fallback"

// sbom lists in SPDX what a binary holds: the modules that the linker wrote into it, which a static binary of Go has
// nothing beside. A scanner such as syft reads the same list, and gives each document another name and time.
func (r *release) sbom(binary, name string, more ...*debug.Module) ([]byte, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read what %s was built from: %w", binary, err)
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("read the binary: %w", err)
	}
	main := modulePackage(&debug.Module{Path: info.Main.Path, Version: r.version})
	main.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: sum(data)}}
	main.PackageSourceInfo = "built from " + source + " at " + r.commit
	main.PackageLicenseDeclared, main.PrimaryPackagePurpose = "Apache-2.0", "APPLICATION"
	doc := &spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName:      name,
		DocumentNamespace: fmt.Sprintf("%s/releases/download/%s/%s.spdx.json", source, r.version, name),
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{
				{CreatorType: "Organization", Creator: "Backstop"}, {CreatorType: "Tool", Creator: "backstop-release"},
			},
			Created: r.created.Format(time.RFC3339),
		},
		Packages:      []*spdx.Package{main},
		Relationships: []*spdx.Relationship{related("DOCUMENT", "DESCRIBES", main.PackageSPDXIdentifier)},
	}
	modules := append([]*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}, info.Deps...)
	for _, m := range append(modules, more...) {
		if m.Replace != nil {
			m = m.Replace
		}
		p := modulePackage(m)
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships,
			related(main.PackageSPDXIdentifier, "DEPENDS_ON", p.PackageSPDXIdentifier))
	}
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out, spdxjson.Indent("  ")); err != nil {
		return nil, fmt.Errorf("write the SBOM of %s: %w", name, err)
	}
	return out.Bytes(), nil
}

var notIdentifier = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func modulePackage(m *debug.Module) *spdx.Package {
	p := &spdx.Package{
		PackageName:             m.Path,
		PackageSPDXIdentifier:   common.ElementID("Package-" + notIdentifier.ReplaceAllString(m.Path+"-"+m.Version, "-")),
		PackageVersion:          m.Version,
		PackageSupplier:         &common.Supplier{Supplier: "NOASSERTION"},
		PackageDownloadLocation: "NOASSERTION",
		PackageLicenseConcluded: "NOASSERTION",
		PackageLicenseDeclared:  "NOASSERTION",
		PackageCopyrightText:    "NOASSERTION",
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: "PACKAGE-MANAGER", RefType: "purl", Locator: "pkg:golang/" + m.Path + "@" + m.Version,
		}},
	}
	if m.Sum != "" {
		p.PackageComment = "checksum of the module in go.sum: " + m.Sum
	}
	return p
}

func related(a common.ElementID, how string, b common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: a}, RefB: common.DocElementID{ElementRefID: b}, Relationship: how,
	}
}

// roots is the module of the root certificates, as the checkout requires it.
func (r *release) roots(ctx context.Context) (*debug.Module, error) {
	text, err := r.command(ctx, nil, "go", "mod", "edit", "-json")
	if err != nil {
		return nil, err
	}
	var mod struct{ Require []debug.Module }
	if err := json.Unmarshal([]byte(text), &mod); err != nil {
		return nil, fmt.Errorf("read go.mod: %w", err)
	}
	for _, m := range mod.Require {
		if m.Path == rootsModule {
			return &m, nil
		}
	}
	return nil, fmt.Errorf("go.mod does not require %s, which the image's root certificates are from", rootsModule)
}
