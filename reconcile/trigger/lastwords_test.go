package trigger_test

import (
	"bytes"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// ofSomethingElse are last words of processes that failed for what they need, or for nobody knows what, while an old pod
// that started since is ready and the owner opted in.
var ofSomethingElse = []string{
	`dial tcp 10.0.0.5:5432: connect: connection refused`,
	`Verbindung zum Server fehlgeschlagen: Verbindungsaufbau abgelehnt`,
	`kafka: client has run out of available brokers to talk to`,
	`LEADER_NOT_AVAILABLE`,
	`LOADING Redis is loading the dataset in memory`,
	`READONLY You can't write against a read only replica.`,
	`WRONGPASS invalid username-password pair or user is disabled.`,
	`FATAL: the database system is starting up`,
	`ERROR: cannot execute CREATE TABLE in a read-only transaction`,
	`FATAL: role "web" does not exist`,
	`FATAL: remaining connection slots are reserved for non-replication superuser connections`,
	`ERROR 2006 (HY000): MySQL server has gone away`,
	`The MySQL server is running with the --super-read-only option so it cannot execute this statement`,
	`MongoServerSelectionError: Server selection timed out after 30000 ms`,
	`NotWritablePrimary: not master`,
	`ClusterBlockException: blocked by: [SERVICE_UNAVAILABLE/1/state not recovered / initialized]`,
	`cluster_block_exception: index [web] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark]`,
	`NOT_ALLOWED - vhost /web not found`,
	`ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN`,
	`Error making API request. * Vault is sealed`,
	`Unexpected response code: 500 (No cluster leader)`,
	`NoSuchBucket: The specified bucket does not exist`,
	`SlowDown: Please reduce your request rate`,
	`ExpiredToken: The security token included in the request is expired`,
	`EC2 IMDS access disabled or no EC2 IMDS role found`,
	`WebIdentityErr: failed to retrieve credentials caused by: InvalidIdentityToken`,
	`could not find default credentials`,
	`oidc: issuer did not match the issuer returned by provider`,
	`jwt is used before issued: clock skew`,
	`RequestTimeTooSkewed: The difference between the request time and the current time is too large.`,
	`LaunchDarkly client failed to initialize within 5s`,
	`unleash: fetch failed`,
	`TypeError: fetch failed`,
	`Error: socket hang up`,
	`java.nio.channels.UnresolvedAddressException`,
	`HikariPool-1 - Connection is not available, request failed`,
	`PKIX path building failed: unable to find valid path to requested target`,
	`Validate failed: Migration checksum mismatch for migration version 7`,
	`LockException: Could not acquire change log lock. Currently locked by web-1`,
	`alembic.util.exc.CommandError: Can't locate revision identified by 'a1b2'`,
	`ActiveRecord::PendingMigrationError`,
	`django.db.utils.ProgrammingError: relation "x" does not exist`,
	`database schema version 42 is newer than supported 41`,
	`Failed to obtain JDBC connection`,
	`upstream connect error or disconnect/reset before headers`,
	`HTTP Logical service in fail-fast`,
	`unexpected EOF`,
	`rpc error: code = Unavailable desc = name resolver error: produced zero addresses`,
	`nats: no servers available for connection`,
	`KeeperErrorCode = ConnectionLoss for /brokers/ids`,
	`Namespace web is not found.`,
	`LDAP Result Code 49 "Invalid Credentials"`,
	`CUDA error: no kernel image is available / CUDA driver version is insufficient for CUDA runtime version`,
	`RuntimeError: No CUDA GPUs are available`,
	`Failed to initialize NVML: Unknown Error`,
	`failed to create fsnotify watcher: too many open files`,
	`inotify_add_watch: System limit for number of file watchers reached`,
	`pthread_create failed: Resource temporarily unavailable`,
	`failed to load BPF objects: kernel doesn't support`,
	`max virtual memory areas vm.max_map_count [65530] is too low, increase to at least [262144]`,
	`could not map anonymous shared memory: Cannot allocate memory / Bus error`,
	`OSError: [Errno 28] No space left on device`,
	`OSError: [Errno 30] Read-only file system: '/data/x'`,
	`OSError: [Errno 116] Stale file handle`,
	`configmaps is forbidden: User "system:serviceaccount:prod:web" cannot list resource`,
	`no matches for kind "Widget" in version "acme.dev/v1"`,
	`Internal error occurred: failed calling webhook`,
	`failed to acquire lease prod/web: another instance is running`,
	`Another instance with ID web is already running`,
	`There is already a consumer with that name; exclusive use`,
	`listen tcp :8080: bind: address already in use`,
	`strconv.Atoi: parsing "tcp://10.0.0.1:80": invalid syntax`,
	`FileNotFoundError: [Errno 2] No such file or directory: '/etc/web/token'`,
	`open /run/secrets/db: permission denied`,
	`ERR unknown command 'FT.SEARCH'`,
	`SyntaxError: Unexpected token < in JSON at position 0`,
	`write /dev/shm/x: invalid argument`,
	`panic: kafka: client has run out of available brokers`,
	`required environment variable DB_URL is not set`,
}

// ofTheProgram are last words of programs that cannot run, wherever they are.
var ofTheProgram = []struct {
	code int32
	said string
}{
	{1, `ModuleNotFoundError: No module named 'requests'`},
	{1, `SyntaxError: invalid syntax`},
	{1, `Could not find rack-3.0 in locally installed gems`},
	{1, `Error: Could not find or load main class com.acme.Web`},
	{1, `Error: Unable to access jarfile app.jar`},
	{145, `The application to execute does not exist: '/app/Web.dll'.`},
	{2, `panic: assignment to entry in nil map`},
	{2, `panic: runtime error: index out of range [3] with length 3`},
	{101, `thread 'main' panicked at src/main.rs:1: called 'Option::unwrap()' on a 'None' value`},
	{1, `nginx: [emerg] unknown directive "lisen" in /etc/nginx/nginx.conf:3`},
	{2, `flag provided but not defined: -metrics`},
	{1, `Error: unknown command "server" for "web"`},
	{127, `./web: error while loading shared libraries: libssl.so.1.1: cannot open shared object file`},
	{127, `/bin/sh: 1: ./serve: not found`},
	{126, `/bin/sh: ./serve: Permission denied`},
}

func spoken(t *testing.T, code int32, said string) recorded {
	t.Helper()
	file := "testdata/rollouts/" + sinceThen
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := record(t, file, bytes.Split(data, []byte("\n---\n")))
	for _, change := range both(code, said) {
		change(&r)
	}
	return r
}

// both is how it ended, after a second.
func both(code int32, words string) []func(*recorded) {
	return []func(*recorded){ends(code, "Error", words), runs(time.Second)}
}

// No list of what a process may need is ever whole: without a person goes back what says nothing, or that the program
// itself is at fault.
func TestAutoNeedsWordsAboutTheProgramItself(t *testing.T) {
	for _, said := range ofSomethingElse {
		for _, in := range []string{said, "starting\n" + said + "\nbye"} {
			r := spoken(t, 1, in)
			if fault, auto, says := verdict(&r); auto {
				t.Errorf("%q: called %s, and reverted without a person: %v", in, fault, says)
			}
		}
	}
	for _, own := range ofTheProgram {
		r := spoken(t, own.code, own.said)
		if fault, auto, says := verdict(&r); fault != "image" || !auto {
			t.Errorf("%q: called %s, without a person %v: %v", own.said, fault, auto, says)
		}
	}
	r := spoken(t, 1, "")
	if fault, auto, says := verdict(&r); fault != "image" || !auto {
		t.Errorf("no words: called %s, without a person %v: %v", fault, auto, says)
	}
}

// Two pods of a revision fail for one reason: what the other says counts too.
func TestTheWordsOfEachPodCount(t *testing.T) {
	for _, pod := range []string{"web-bbbb-0", "web-bbbb-1"} {
		r := spoken(t, 1, "")
		for i := range r.objects.Pods {
			if p := &r.objects.Pods[i]; p.Name == pod {
				last(&p.Status.ContainerStatuses[0]).Message = "dial tcp 10.0.0.5:5432: connect: connection refused"
			}
		}
		if fault, auto, says := verdict(&r); fault != "image" || auto {
			t.Errorf("%s: called %s, without a person %v: %v", pod, fault, auto, says)
		}
	}
}

// So does how the other ended.
func TestTheEndOfEachPodCounts(t *testing.T) {
	for name, end := range map[string]func(*corev1.ContainerStateTerminated){
		"for its memory":     func(e *corev1.ContainerStateTerminated) { e.Reason, e.ExitCode = "OOMKilled", 137 },
		"killed":             func(e *corev1.ContainerStateTerminated) { e.ExitCode = 137 },
		"after a long run":   func(e *corev1.ContainerStateTerminated) { e.StartedAt.Time = e.StartedAt.Add(-5 * time.Minute) },
		"asked to, in order": func(e *corev1.ContainerStateTerminated) { e.ExitCode = 143 },
		"lost with its node": func(e *corev1.ContainerStateTerminated) { e.Reason, e.ExitCode = "ContainerStatusUnknown", 137 },
		"not made by a node": func(e *corev1.ContainerStateTerminated) {
			e.Reason, e.ExitCode, e.Message = "StartError", 128, "no space left"
		},
	} {
		r := spoken(t, 1, "")
		for i := range r.objects.Pods {
			if p := &r.objects.Pods[i]; p.Name == "web-bbbb-1" {
				end(last(&p.Status.ContainerStatuses[0]))
			}
		}
		if fault, auto, says := verdict(&r); auto {
			t.Errorf("%s: called %s, and reverted without a person: %v", name, fault, says)
		}
	}
}

// words are situations in which what a process says, or what a template names, tells more than how it ended.
var words = []situation{
	// The image's fault.
	{"a module is missing, and the owner opted in", sinceThen, "image", "image", true, both(1, "ModuleNotFoundError: No module named 'requests'")},
	{"an index out of range, and the owner opted in", sinceThen, "image", "image", true, both(2, "panic: runtime error: index out of range [3] with length 3")},
	{"it says what nobody knows, and the owner opted in", sinceThen, "image", "image", false, both(1, "web: giving up")},
	{"a flag that it does not know any more", crashes, "image", "image", false, both(2, "flag provided but not defined: -metrics")},
	{"its jar has another name", crashes, "image", "image", false, both(1, "Error: Unable to access jarfile app.jar")},
	{"a directory is its entry point", noProgram, "image", "image", true, []func(*recorded){cannotStart(`error during container init: exec: "/srv": is a directory`)}},
	{"its priority is lower too", noProgram, "image", "image", true, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.PriorityClassName = "low" })}},
	{"a library is missing that it is linked with", exit127, "image", "image", true, []func(*recorded){ends(127, "Error", "./web: error while loading shared libraries: libssl.so.1.1: cannot open shared object file: No such file or directory")}},

	// The configuration's.
	{"a variable has the tag, an old pod started since, and the owner opted in", sinceThen, "config", "image", false, []func(*recorded){versioned("APP_VERSION", "v1", "v2")}},
	{"an annotation has the version of a configuration", exit127, "config", "config", false, []func(*recorded){annotated("config.acme.dev/version", "7", "8")}},
	{"an annotation has the commit of secrets", exit127, "config", "config", false, []func(*recorded){annotated("secrets.acme.dev/commit", "a1", "b2")}},
	{"an annotation has the time at which a ConfigMap was loaded", exit127, "config", "config", false, []func(*recorded){annotated("configmap.reloader/timestamp", "7", "8")}},
	{"a Service of its name gives it a variable", sinceThen, "config", "image", false, both(1, `strconv.Atoi: parsing "tcp://10.0.0.1:80": invalid syntax`)},
	{"it wants a variable that nobody set, and the owner opted in", sinceThen, "config", "image", false, both(1, "required environment variable DB_URL is not set")},
	{"the custom resources that it wants are not there", sinceThen, "config", "image", false, both(1, `no matches for kind "Widget" in version "acme.dev/v1"`)},
	{"it is placed elsewhere too", exit127, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"pool": "arm"} })}},
	{"its request of processor is lower too", sinceThen, "config", "config", false, []func(*recorded){inNewTemplate(func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m")}
	})}},
	{"a file of a secret is not there, and the owner opted in", sinceThen, "config", "image", false, both(1, "open /run/secrets/db: no such file or directory")},

	// Something else that it needs.
	{"no broker answers, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "kafka: client has run out of available brokers to talk to")},
	{"a database is only read, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "ERROR: cannot execute CREATE TABLE in a read-only transaction")},
	{"a database starts, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "FATAL: the database system is starting up")},
	{"a vault is sealed, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "* Vault is sealed")},
	{"feature flags do not come, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "LaunchDarkly client failed to initialize within 5s")},
	{"something else answers with a page, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "SyntaxError: Unexpected token < in JSON at position 0")},
	{"a bucket is gone, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "NoSuchBucket: The specified bucket does not exist")},
	{"a database is newer than it, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "database schema version 42 is newer than supported 41")},
	{"another of it holds what only one may, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "Another instance with ID web is already running")},
	{"it says in German that nobody answers, and the owner opted in", sinceThen, "dependency", "image", false, both(1, "Verbindungsaufbau abgelehnt")},

	// The node's.
	{"its node's clock is wrong, and the owner opted in", sinceThen, "node", "image", false, both(1, "jwt is used before issued: clock skew")},
	{"its node has no graphics card for it, and the owner opted in", sinceThen, "node", "image", false, both(1, "RuntimeError: No CUDA GPUs are available")},
	{"its node allows too few maps of memory, and the owner opted in", sinceThen, "node", "image", false, both(78, "max virtual memory areas vm.max_map_count [65530] is too low")},
	{"its node watches no more files, and the owner opted in", sinceThen, "node", "image", false, both(1, "System limit for number of file watchers reached")},
}
