package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
)

// tags lists tags, at most limit, page by page. Names that are none are left out.
func (s *session) tags(ctx context.Context, limit int) ([]string, error) {
	all, _, err := s.list(ctx, limit)
	return all, err
}

// list lists tags, at most limit, and reports whether the registry says that these are all.
func (s *session) list(ctx context.Context, limit int) (all []string, complete bool, err error) {
	path := fmt.Sprintf("tags/list?n=%d", pageSize)
	for page := 0; page < maxPages && len(all) < limit; page++ {
		some, resp, err := s.page(ctx, path, limit-len(all))
		if err != nil {
			return nil, false, err
		}
		all = append(all, some...)
		next, more := nextPage(resp)
		if !more {
			return all, len(all) < limit, nil
		}
		if next == "" {
			break
		}
		path = next
	}
	return all, false, nil
}

// whole lists all tags, as far as that can be known: some registries end a page without a word of the next one, so that
// it is asked what comes after the last.
func (s *session) whole(ctx context.Context) (all []string, complete bool, err error) {
	all, complete, err = s.list(ctx, maxPages*pageSize)
	seen := map[string]bool{}
	for _, tag := range all {
		seen[tag] = true
	}
	for page := 0; err == nil && complete && len(all) > 0; page++ {
		full := len(all)%pageSize == 0
		last := fmt.Sprintf("tags/list?n=%d&last=%s", pageSize, url.QueryEscape(all[len(all)-1]))
		after, resp, refused := s.page(ctx, last, pageSize)
		switch status := asError(refused); {
		case status == nil:
		case status.status == http.StatusBadRequest, missing(refused), unknown(refused):
			// What knows no such question has no pages.
			return all, !full, nil
		default:
			return nil, false, refused
		}
		known := len(after)
		fresh := slices.DeleteFunc(after, func(tag string) bool { return seen[tag] })
		_, more := nextPage(resp)
		switch {
		case known == 0, len(fresh) == 0 && !full && !more:
			return all, true, nil
		case len(fresh) == 0, page == maxPages:
			return all, false, nil
		}
		for _, tag := range fresh {
			seen[tag] = true
		}
		all = append(all, fresh...)
	}
	return all, complete, err
}

// page reads one page of the list of tags, at most limit of them.
func (s *session) page(ctx context.Context, path string, limit int) ([]string, *http.Response, error) {
	resp, err := s.do(ctx, http.MethodGet, path, map[string]string{"Accept": "application/json"})
	if err != nil {
		return nil, nil, err
	}
	some, err := readTags(resp.Body, limit)
	_ = resp.Body.Close()
	switch {
	case errors.Is(err, errTooLong), err != nil && network(err) != "":
		return nil, nil, fault(s.host, err)
	case err != nil:
		return nil, nil, untrue(s.host, "something that is no list of tags")
	}
	return some, resp, nil
}

// readTags reads the tags of one page as they come, so that a long page need not be read to its end.
func readTags(r io.Reader, limit int) ([]string, error) {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("read an object: %w", errors.Join(err, io.ErrNoProgress))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		if key != "tags" {
			var skipped json.RawMessage
			if err := d.Decode(&skipped); err != nil {
				return nil, err
			}
			continue
		}
		open, err := d.Token()
		if err != nil || open != json.Delim('[') {
			return nil, err // null: no tags
		}
		var tags []string
		for d.More() && len(tags) < limit {
			var tag string
			if err := d.Decode(&tag); err != nil {
				return nil, err
			}
			if tagName.MatchString(tag) {
				tags = append(tags, tag)
			}
		}
		if len(tags) < limit {
			_, err = d.Token() // the end of the list, so that a cut one is seen
		}
		return tags, err
	}
	return nil, nil
}

// links are what a Link header holds, and nextLink is what tells the next page of others.
var (
	links    = regexp.MustCompile(`<([^>]*)>([^<]*)`)
	nextLink = regexp.MustCompile(`(?i)\brel\s*=\s*"?[^";,]*\bnext\b`)
)

// nextPage reads the Link header: more means that the list goes on. Only the registry itself is followed: a page
// anywhere else has no address here.
func nextPage(resp *http.Response) (next string, more bool) {
	for _, header := range resp.Header.Values("Link") {
		for _, link := range links.FindAllStringSubmatch(header, -1) {
			if !nextLink.MatchString(link[2]) {
				continue
			}
			u, err := url.Parse(link[1])
			if err != nil {
				return "", true
			}
			of := resp.Request.URL
			u = of.ResolveReference(u)
			if u.Scheme != of.Scheme || u.Host != of.Host || u.String() == of.String() {
				return "", true
			}
			return u.String(), true
		}
	}
	return "", false
}
