package deploy_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	helmv2 "github.com/fluxcd/helm-controller/api/v2"
	automationv1 "github.com/fluxcd/image-automation-controller/api/v1"
	imagev1 "github.com/fluxcd/image-reflector-controller/api/v1"
	kustomizev1 "github.com/fluxcd/kustomize-controller/api/v1"
	sourcev1 "github.com/fluxcd/source-controller/api/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apiextensions "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/backstop-dev/backstop/api/v1alpha1"
	"github.com/backstop-dev/backstop/reconcile/kube"
	"github.com/backstop-dev/backstop/test/testenv"
)

// oddRollback and oddPolicy are the specs of objects with some fields that are filled by the fuzzer.
const (
	oddRollback = `{"openedFor":"ImagePull","subject":{"kind":"Image","name":"registry.test/web:v2"}}`
	oddPolicy   = `{"triggers":[{"type":"ImagePull","mode":"Notify"}]}`
)

// oddFlux are Flux's kinds, as Backstop reads them, with the spec of a plain one.
var oddFlux = map[string]struct {
	apiVersion, plain string
	list              func() client.ObjectList
}{
	"GitRepository":         {"source.toolkit.fluxcd.io/v1", `{"interval":"1m","url":"https://git.test/x"}`, func() client.ObjectList { return &sourcev1.GitRepositoryList{} }},
	"OCIRepository":         {"source.toolkit.fluxcd.io/v1", `{"interval":"1m","url":"oci://reg.test/x"}`, func() client.ObjectList { return &sourcev1.OCIRepositoryList{} }},
	"Bucket":                {"source.toolkit.fluxcd.io/v1", `{"interval":"1m","bucketName":"x","endpoint":"s3.test"}`, func() client.ObjectList { return &sourcev1.BucketList{} }},
	"Kustomization":         {"kustomize.toolkit.fluxcd.io/v1", `{"interval":"1m","prune":true,"sourceRef":{"kind":"GitRepository","name":"x"}}`, func() client.ObjectList { return &kustomizev1.KustomizationList{} }},
	"HelmRelease":           {"helm.toolkit.fluxcd.io/v2", `{"interval":"1m","chartRef":{"kind":"OCIRepository","name":"x"}}`, func() client.ObjectList { return &helmv2.HelmReleaseList{} }},
	"ImagePolicy":           {"image.toolkit.fluxcd.io/v1", `{"imageRepositoryRef":{"name":"x"},"policy":{"semver":{"range":"*"}}}`, func() client.ObjectList { return &imagev1.ImagePolicyList{} }},
	"ImageRepository":       {"image.toolkit.fluxcd.io/v1", `{"image":"reg.test/x","interval":"1m"}`, func() client.ObjectList { return &imagev1.ImageRepositoryList{} }},
	"ImageUpdateAutomation": {"image.toolkit.fluxcd.io/v1", `{"interval":"1m","sourceRef":{"kind":"GitRepository","name":"x"}}`, func() client.ObjectList { return &automationv1.ImageUpdateAutomationList{} }},
}

// loosened gives Flux's kinds definitions of another version of theirs: every field may have any type.
func loosened(ctx context.Context, config *rest.Config) error {
	c, err := apiextensions.NewForConfig(config)
	if err != nil {
		return err
	}
	definitions := c.ApiextensionsV1().CustomResourceDefinitions()
	all, err := definitions.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range all.Items {
		crd := &all.Items[i]
		if !strings.HasSuffix(crd.Spec.Group, ".toolkit.fluxcd.io") {
			continue
		}
		for j := range crd.Spec.Versions {
			crd.Spec.Versions[j].Schema.OpenAPIV3Schema = &apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
			crd.Spec.Versions[j].AdditionalPrinterColumns, crd.Spec.Versions[j].SelectableFields = nil, nil
		}
		if _, err := definitions.Update(ctx, crd, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	return nil
}

// FuzzOddObjects writes objects with odd fields through a real API server. Whatever its schema lets through of
// Backstop's own kinds can be read by Backstop. Flux's kinds have the definitions of a stranger: an object of theirs
// that cannot be read costs no other one.
func FuzzOddObjects(f *testing.F) {
	for _, field := range []string{
		`"approval":{"timeout":"1h"}`, `"approval":{"timeout":"1d"}`, `"approval":{"timeout":"1h1"}`, `"approval":{"timeout":"-1h"}`,
		`"approval":{"timeout":"9999999999h"}`, `"approval":{"timeout":3600}`, `"approval":{"timeout":""}`, `"approval":null`,
		`"maxAge":"24h"`, `"maxAge":"1w"`, `"maxAge":"1.5h"`, `"maxAge":"99999999999999999999h"`, `"maxAge":"µs"`, `"maxAge":"5µs"`,
		`"cooldown":"0"`, `"cooldown":"1h "`, `"verifyTimeout":"1e3s"`, `"suspend":"true"`, `"suspend":true`,
		`"selector":{"matchLabels":{"a":1}}`, `"selector":{"matchExpressions":[{"key":"a","operator":"Near"}]}`,
		`"selector":{"matchExpressions":[{"key":"a","operator":"In","values":[null]}]}`,
		`"unknown":{"to":"this version"}`,
	} {
		f.Add("RollbackPolicy", field)
	}
	for _, field := range []string{
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13.123456789+01:00"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28t11:34:13z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:60Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T24:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"0000-01-01T00:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-02-30T00:00:00Z"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"2026-11-28T11:34:13-23:59"}]`,
		`"decisions":[{"by":"jane","question":"0123456789ab","answer":"Approve","at":"now"}]`, `"decisions":"all of them"`, `"decisions":[null]`, `"decisions":{}`,
	} {
		f.Add("Rollback", field)
	}
	for kind, field := range map[string][]string{
		"GitRepository":         {`"interval":{"every":"1m"}`, `"ref":"main"`, `"timeout":60`, `"secretRef":["a"]`},
		"OCIRepository":         {`"interval":1`, `"ref":[]`},
		"Kustomization":         {`"interval":{"every":"1m"}`, `"prune":"yes"`, `"dependsOn":"infra"`, `"postBuild":{"substitute":[1]}`, `"sourceRef":"x"`},
		"HelmRelease":           {`"chart":"podinfo"`, `"interval":"soon"`, `"dependsOn":{}`, `"driftDetection":true`},
		"ImagePolicy":           {`"policy":"semver"`, `"imageRepositoryRef":"x"`, `"filterTags":[]`},
		"ImageRepository":       {`"interval":[]`, `"accessFrom":"all"`},
		"ImageUpdateAutomation": {`"git":true`, `"update":"Setters"`, `"interval":{}`},
		"Bucket":                {`"interval":{}`, `"provider":["aws"]`, `"provider":"of another year"`},

		"GitRepository/status":         {`"artifact":"main@sha1:a"`, `"conditions":{"Ready":"True"}`, `"conditions":[{"lastTransitionTime":"today"}]`, `"observedGeneration":"1"`},
		"OCIRepository/status":         {`"artifact":[]`, `"artifact":{"lastUpdateTime":1764000000}`},
		"Kustomization/status":         {`"history":"none"`, `"history":[{"lastReconciled":"now"}]`, `"inventory":{"entries":{}}`, `"lastHandledReconcileAt":5`, `"conditions":[null]`},
		"HelmRelease/status":           {`"history":{"version":1}`, `"history":[{"version":"one"}]`, `"history":[{"status":{"of":"a newer form"}}]`, `"inventory":true`, `"failures":-1`},
		"ImagePolicy/status":           {`"latestRef":"v1"`, `"latestRef":{"name":1}`, `"observedPreviousRef":[]`},
		"ImageRepository/status":       {`"lastScanResult":"12 tags"`, `"lastScanResult":{"scanTime":"yesterday"}`},
		"ImageUpdateAutomation/status": {`"lastPushTime":"never"`, `"lastAutomationRunTime":1`, `"observedPolicies":[]`},
		"Bucket/status":                {`"artifact":1`},
		"Rollback/status":              {`"waiting":{"why":"a","since":"2026-11-28T11:34:13Z"}`, `"waiting":{"why":"a","since":"soon"}`, `"outcome":{"result":"Undone","sentence":"of another year","at":"2026-11-28T11:34:13Z"}`, `"phase":"Dreaming"`, `"newer":{"form":[1]}`},
		"RollbackPolicy/status":        {`"conditions":[{"type":"Ready","status":"Maybe","reason":"A","message":"","lastTransitionTime":"2026-11-28T11:34:13Z"}]`, `"conditions":"True"`},
	} {
		for _, f1 := range field {
			f.Add(kind, f1)
		}
	}
	// A control plane of its own: the admission policies of the overlays let Backstop alone open a Rollback.
	env, err := testenv.Start(context.Background(), testenv.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(env.Stop)
	if err := loosened(f.Context(), env.Config); err != nil {
		f.Fatal(err)
	}
	found := &kube.Unreadables{}
	c, err := kube.Client(env.Config, found)
	if err != nil {
		f.Fatal(err)
	}
	// write makes an object, or fills the status of one that is there.
	write := func(t *testing.T, kind, name, spec, status string) bool {
		t.Helper()
		apiVersion := v1alpha1.GroupVersion.String()
		if flux, ok := oddFlux[kind]; ok {
			apiVersion = flux.apiVersion
		}
		o := &unstructured.Unstructured{}
		if json.Unmarshal([]byte(spec), &map[string]any{}) != nil {
			return false
		}
		if json.Unmarshal([]byte(status), &map[string]any{}) != nil {
			return false
		}
		raw := `{"apiVersion":"` + apiVersion + `","kind":"` + kind + `","metadata":{"namespace":"default","name":"` + name + `"},"spec":` + spec + `,"status":` + status + `}`
		if o.UnmarshalJSON([]byte(raw)) != nil {
			return false
		}
		filled := o.Object["status"]
		if err := c.Create(t.Context(), o); err != nil {
			return false
		}
		t.Cleanup(func() {
			if err := c.Delete(context.WithoutCancel(t.Context()), o); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
		if status == "{}" {
			return true
		}
		o.Object["status"] = filled
		_ = c.Status().Update(t.Context(), o) // what the schema refuses is no status
		return true
	}
	f.Fuzz(func(t *testing.T, kind, field string) {
		var list client.ObjectList
		plain := oddPolicy
		kind, ofStatus := strings.CutSuffix(kind, "/status")
		flux, fluxs := oddFlux[kind]
		switch {
		case kind == "RollbackPolicy":
			list = &v1alpha1.RollbackPolicyList{}
		case kind == "Rollback":
			list, plain = &v1alpha1.RollbackList{}, oddRollback
		case fluxs:
			list, plain = flux.list(), flux.plain
		default:
			return
		}
		if !write(t, kind, "plain", plain, "{}") {
			t.Fatalf("a plain %s was refused", kind)
		}
		want := 1
		spec, status := plain[:len(plain)-1]+","+field+"}", "{}"
		if ofStatus {
			spec, status = plain, "{"+field+"}"
		}
		if write(t, kind, "odd", spec, status) {
			want++
		}
		bad, err := kube.Partial(t.Context(), c, list, client.InNamespace(metav1.NamespaceDefault))
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, u := range bad {
			if !fluxs || u.Ref.Name != "odd" {
				t.Errorf("the API server takes %s, and Backstop cannot read it: %v", field, u)
			}
		}
		if n := meta.LenList(list) + len(bad); n != want {
			t.Errorf("%d objects are listed, want %d", n, want)
		}
	})
}
