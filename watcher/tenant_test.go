package watcher

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

func TestATenantIsWhatTheLabelOfItsNamespacesSays(t *testing.T) {
	const label = "toolkit.fluxcd.io/tenant"
	inf := cache.NewSharedIndexInformer(nil, &metav1.PartialObjectMetadata{}, 0, nil)
	for name, value := range map[string]string{"a1": "a", "a2": "a", "a": "", "b": "b1"} {
		o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: value}}}
		if err := inf.GetStore().Add(o); err != nil {
			t.Fatal(err)
		}
	}
	w := &Watcher{informers: map[string][]cache.SharedIndexInformer{kindNamespace: {inf}}}
	for name, tt := range map[string]struct{ label, a, b string }{
		"two of one tenant":                        {label, "a1", "a2"},
		"a namespace of a tenant's name is apart":  {label, "a1", "a"},
		"what is not known is apart":               {label, "a1", "elsewhere"},
		"another tenant's":                         {label, "a1", "b"},
		"without the flag each is one of its own":  {"", "a1", "a2"},
		"another label makes nobody another's one": {"team", "a1", "a2"},
	} {
		t.Run(name, func(t *testing.T) {
			w.opts.TenantLabel = tt.label
			if same := w.Tenant(tt.a) == w.Tenant(tt.b); same != (name == "two of one tenant") {
				t.Errorf("%s is %s's, and %s is %s's", tt.a, w.Tenant(tt.a), tt.b, w.Tenant(tt.b))
			}
		})
	}
}
