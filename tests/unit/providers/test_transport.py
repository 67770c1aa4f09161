from __future__ import annotations

import pytest

from nexusai.providers import AdapterError, AuthenticationError, ValidationError
from nexusai.providers.transport import HttpRequest, redirected, sendable

HERE = "https://vendor.test/v1/files/1"
HEADERS = {"authorization": "Bearer sk", "Accept": "image/*", "traceparent": "00-1"}


def moved(link, *, url=HERE, method="GET", status=302):
    return redirected(HttpRequest(method, url, HEADERS, timeout=7.0), status, {"location": link})


class TestRedirected:
    @pytest.mark.parametrize(
        "link", ["/v1/b", "b", "https://vendor.test/b", "https://VENDOR.test:443/b", "?x=1"]
    )
    def test_keeps_the_headers_within_an_origin(self, link):
        assert moved(link).headers == HEADERS

    @pytest.mark.parametrize(
        "link",
        [
            "https://other.test/b",
            "//other.test/b",
            "http://vendor.test/b",
            "https://vendor.test:8443/b",
            "https://vendor.test.evil.test/b",
            "https://vendor.test@evil.test/b",
        ],
    )
    def test_tells_another_origin_nothing_that_was_meant_for_the_first(self, link):
        assert moved(link).headers == {"Accept": "image/*"}

    def test_does_not_give_back_what_was_taken_away(self):
        away = moved("https://other.test/b")
        back = redirected(away, 302, {"location": HERE})
        assert "authorization" not in back.headers

    def test_keeps_everything_else(self):
        onward = moved("/b")
        assert (onward.url, onward.method, onward.timeout) == ("https://vendor.test/b", "GET", 7.0)

    @pytest.mark.parametrize("status", [200, 204, 300, 400, 500])
    def test_is_for_redirects_alone(self, status):
        assert moved("/b", status=status) is None

    def test_is_for_get_alone(self):
        assert moved("/b", method="POST") is None

    def test_needs_a_link(self):
        assert moved("") is None

    @pytest.mark.parametrize(
        "link", ["ftp://vendor.test/", "javascript:alert(1)", "http://[::1", "http://a:99999/"]
    )
    def test_goes_to_http_urls_alone(self, link):
        with pytest.raises(AdapterError, match="is no http URL"):
            moved(link)


class TestSendable:
    def test_is_the_request_itself(self):
        request = HttpRequest("GET", HERE, HEADERS)
        assert sendable(request) is request

    @pytest.mark.parametrize("value", ["a\nb", "a\r", "\0", "ключ", "a\x7f"])
    def test_refuses_a_key_that_no_header_can_hold(self, value):
        with pytest.raises(AuthenticationError) as failure:
            sendable(HttpRequest("GET", HERE, {"X-Api-Key": f"sk-secret{value}"}))
        assert "secret" not in str(failure.value)

    def test_refuses_any_header_that_would_begin_another(self):
        with pytest.raises(ValidationError, match="'x-title'"):
            sendable(HttpRequest("GET", HERE, {"x-title": "a\r\nb: c"}))

    @pytest.mark.parametrize(
        "url", ["", "vendor.test", "ftp://vendor.test", "http://", "http://a:0/", "http://a:x/"]
    )
    def test_refuses_what_is_no_http_url(self, url):
        with pytest.raises(AdapterError, match="is no http URL"):
            sendable(HttpRequest("GET", url))
