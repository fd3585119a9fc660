// Package chromium drives a headless Chromium that the machine has, over its own debugging protocol: go to a page, wait
// for it to show something, click as a person does, take a picture.
package chromium

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Browser is a running Chromium.
type Browser struct {
	cmd  *exec.Cmd
	dir  string
	host string
}

// Find gives the path of a Chromium; CHROMIUM overrides it.
func Find() (string, error) {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path, nil
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("no chromium in PATH: scripts/chromium.sh installs Debian's, CHROMIUM=/path names another")
}

// Start starts a Chromium with a new profile, which Close throws away.
func Start(ctx context.Context) (*Browser, error) {
	path, err := Find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "backstop-chromium-")
	if err != nil {
		return nil, fmt.Errorf("make a profile: %w", err)
	}
	// As root there is no sandbox to be had; the pages are the tests' own.
	cmd := exec.CommandContext(ctx, path, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic",
		"--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--lang=en-US",
		"--user-data-dir="+dir, "--remote-debugging-port=0", "--remote-allow-origins=*", "about:blank")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LANGUAGE=en_US")
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	b := &Browser{cmd: cmd, dir: dir}
	if b.host, err = listening(said); err != nil {
		b.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return b, nil
}

// listening reads where the debugger listens, and goes on reading so that the browser never waits.
func listening(said io.Reader) (string, error) {
	lines := bufio.NewScanner(said)
	var last []string
	for lines.Scan() {
		if _, ws, ok := strings.Cut(lines.Text(), "DevTools listening on ws://"); ok {
			go func() { _, _ = io.Copy(io.Discard, said) }()
			host, _, _ := strings.Cut(ws, "/")
			return host, nil
		}
		last = append(last, lines.Text())
	}
	return "", fmt.Errorf("it ended with %q", last)
}

// Close ends the browser.
func (b *Browser) Close() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	// Helpers of the browser may still write for a moment.
	for range 50 {
		if os.RemoveAll(b.dir) == nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Page is one tab.
type Page struct {
	conn *websocket.Conn
	mu   sync.Mutex
	id   int
}

// Open opens a tab of a size at a URL.
func (b *Browser) Open(ctx context.Context, url string, width, height int) (*Page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "http://"+b.host+"/json/new?about:blank", nil)
	if err != nil {
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	defer res.Body.Close()
	var tab struct {
		URL string `json:"webSocketDebuggerUrl"`
	}
	if err := json.NewDecoder(res.Body).Decode(&tab); err != nil {
		return nil, fmt.Errorf("open a tab: %w", err)
	}
	conn, _, err := websocket.DefaultDialer.DialContext(ctx, tab.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("speak to a tab: %w", err)
	}
	p := &Page{conn: conn}
	if err := p.Size(ctx, width, height); err != nil {
		return nil, err
	}
	// Pictures are of what a page comes to rest at.
	if err := p.call(ctx, "Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-reduced-motion", "value": "reduce"}},
	}, nil); err != nil {
		return nil, err
	}
	return p, p.call(ctx, "Page.navigate", map[string]any{"url": url}, nil)
}

// Close closes the tab.
func (p *Page) Close() {
	_ = p.conn.WriteJSON(map[string]any{"id": 0, "method": "Page.close"})
	_ = p.conn.Close()
}

// Size changes the size of the tab.
func (p *Page) Size(ctx context.Context, width, height int) error {
	return p.call(ctx, "Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
	}, nil)
}

// call asks the tab for something; what it says by itself is passed over.
func (p *Page) call(ctx context.Context, method string, params, result any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.id++
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(30 * time.Second)
	}
	_ = p.conn.SetReadDeadline(deadline)
	_ = p.conn.SetWriteDeadline(deadline)
	if err := p.conn.WriteJSON(map[string]any{"id": p.id, "method": method, "params": params}); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	for {
		var m struct {
			ID     int             `json:"id"`
			Result json.RawMessage `json:"result"`
			Error  *struct {
				Message string `json:"message"`
			} `json:"error"`
		}
		if err := p.conn.ReadJSON(&m); err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		switch {
		case m.ID != p.id:
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

// Eval evaluates JavaScript, awaits what it promises, and decodes its value; into may be nil.
func (p *Page) Eval(ctx context.Context, js string, into any) error {
	var r struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	ask := map[string]any{"expression": js, "awaitPromise": true, "returnByValue": true}
	err := p.call(ctx, "Runtime.evaluate", ask, &r)
	switch {
	case err != nil:
		return err
	case r.Exception != nil:
		return fmt.Errorf("%s: %s", js, r.Exception.Exception.Description)
	case into == nil:
		return nil
	}
	return json.Unmarshal(r.Result.Value, into)
}

// Until waits for a JavaScript expression to be true; the page is asked at each of its frames.
func (p *Page) Until(ctx context.Context, js string) error {
	var held bool
	err := p.Eval(ctx, `new Promise((done) => {
	const end = Date.now() + 30000;
	const look = () => {
		let holds = false;
		try { holds = !!(`+js+`); } catch {}
		if (holds || Date.now() > end) done(holds); else setTimeout(look, 25);
	};
	look();
})`, &held)
	if err != nil {
		return fmt.Errorf("wait for %s: %w", js, err)
	}
	if !held {
		var text string
		_ = p.Eval(ctx, "document.body.innerText", &text)
		return fmt.Errorf("%s did not come true; the page shows:\n%s", js, text)
	}
	return nil
}

// Text is what an element shows.
func (p *Page) Text(ctx context.Context, selector string) (string, error) {
	var out string
	err := p.Eval(ctx, "document.querySelector("+quote(selector)+").innerText", &out)
	return out, err
}

// Click waits for an element to lie still and to be seen, and presses the mouse in its middle, as a person does.
func (p *Page) Click(ctx context.Context, selector string) error {
	if err := p.Until(ctx, "document.querySelector("+quote(selector)+")?.getClientRects().length"); err != nil {
		return err
	}
	var at struct{ X, Y float64 }
	if err := p.Eval(ctx, `new Promise((done, fail) => {
	let last = '', still = 0, left = 200;
	const look = () => {
		const e = document.querySelector(`+quote(selector)+`);
		e?.scrollIntoView({ block: 'nearest' });
		const r = e?.getBoundingClientRect();
		const x = r?.x + r?.width / 2, y = r?.y + r?.height / 2;
		const free = e?.contains(document.elementFromPoint(x, y));
		still = free && x + ' ' + y === last ? still + 1 : 0;
		last = x + ' ' + y;
		if (still > 3) done({ X: x, Y: y });
		else if (left-- === 0) fail(new Error('it does not lie still, or something covers it'));
		else setTimeout(look, 25);
	};
	look();
})`, &at); err != nil {
		return fmt.Errorf("click %s: %w", selector, err)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		if err := p.call(ctx, "Input.dispatchMouseEvent", map[string]any{
			"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1,
		}, nil); err != nil {
			return fmt.Errorf("click %s: %w", selector, err)
		}
	}
	return nil
}

// Picture is the tab as PNG, or the part of it that an element covers.
func (p *Page) Picture(ctx context.Context, selector string) ([]byte, error) {
	params := map[string]any{"format": "png", "optimizeForSpeed": false}
	if selector != "" {
		var r struct{ X, Y, Width, Height float64 }
		if err := p.Eval(ctx, `(() => {
	const r = document.querySelector(`+quote(selector)+`).getBoundingClientRect();
	return { X: r.x, Y: r.y, Width: r.width, Height: r.height };
})()`, &r); err != nil {
			return nil, err
		}
		params["clip"] = map[string]any{"x": r.X, "y": r.Y, "width": r.Width, "height": r.Height, "scale": 1}
	}
	var shot struct {
		Data string `json:"data"`
	}
	if err := p.call(ctx, "Page.captureScreenshot", params, &shot); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(shot.Data)
}

func quote(s string) string {
	q, _ := json.Marshal(s)
	return string(q)
}
