from __future__ import annotations

import ssl

import pytest
import trustme

from nexusai.providers import AdapterError
from nexusai.providers.transport import HttpRequest
from nexusai.providers.transport_ways import Proxies, refused_certificate, trusted


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Sets it; nothing of this machine's is in it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def set(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set


@pytest.fixture
def trust():
    """`trusted`, as in a new process."""
    trusted.cache_clear()
    yield trusted
    trusted.cache_clear()


def way(url, **parts):
    return Proxies().of(HttpRequest("GET", url, **parts))


class TestProxies:
    def test_are_none_where_none_are_named(self):
        assert way("https://vendor.test/") is None

    def test_are_named_by_scheme(self, environment):
        environment(http_proxy="http://a:1", https_proxy="http://b:2")
        assert way("http://vendor.test/") == "http://a:1"
        assert way("https://vendor.test/") == "http://b:2"

    def test_are_for_all_schemes_in_all_proxy(self, environment):
        environment(all_proxy="http://a:1")
        assert way("https://vendor.test/") == "http://a:1"

    def test_need_no_scheme(self, environment):
        environment(https_proxy="a:1")
        assert way("https://vendor.test/") == "http://a:1"

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "[::1]", "localhost:11434"])
    def test_do_not_lead_to_this_very_machine(self, environment, host):
        environment(http_proxy="http://a:1")
        assert way(f"http://{host}/v1") is None

    @pytest.mark.parametrize("exceptions", ["vendor.test", "test", ".test", "x,vendor.test:443", "*"])
    def test_do_not_lead_where_no_proxy_says(self, environment, exceptions):
        environment(https_proxy="http://a:1", no_proxy=exceptions)
        assert way("https://vendor.test/") is None

    @pytest.mark.parametrize("exceptions", ["vendor.test:8443", "dor.test", "other.test"])
    def test_lead_where_no_proxy_says_nothing(self, environment, exceptions):
        environment(https_proxy="http://a:1", no_proxy=exceptions)
        assert way("https://vendor.test/") == "http://a:1"

    def test_give_way_to_the_requests_own(self, environment):
        environment(https_proxy="http://a:1", no_proxy="*")
        assert way("https://vendor.test/", proxy="http://mine:2") == "http://mine:2"

    def test_are_those_of_the_moment_in_which_they_are_asked_for(self, environment):
        before = Proxies()
        environment(https_proxy="http://a:1")
        assert before.of(HttpRequest("GET", "https://vendor.test/")) is None

    def test_are_reached_by_http_alone(self, environment):
        environment(all_proxy="socks5h://user:hunter2@a:1")
        with pytest.raises(AdapterError, match="not socks5h: write http://host:port") as failure:
            way("https://vendor.test/")
        assert "hunter2" not in str(failure.value)


class TestTrusted:
    def test_is_made_once(self, trust):
        assert trust(None) is trust(None)

    def test_checks_certificates_and_names(self, trust):
        assert trust(None).verify_mode is ssl.CERT_REQUIRED
        assert trust(None).check_hostname

    def test_has_the_usual_cas(self, trust):
        assert trust(None).cert_store_stats()["x509_ca"] > 50

    def test_has_those_of_a_file_alone(self, trust, tmp_path):
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        assert trust(str(tmp_path / "ca.pem")).cert_store_stats()["x509_ca"] == 1

    def test_has_those_of_ssl_cert_file_alone(self, trust, tmp_path, environment):
        trustme.CA().cert_pem.write_to_path(tmp_path / "ca.pem")
        environment(SSL_CERT_FILE=str(tmp_path / "ca.pem"), SSL_CERT_DIR=str(tmp_path))
        assert trust(None).cert_store_stats()["x509_ca"] == 1

    def test_names_a_file_that_is_none(self, trust, tmp_path):
        with pytest.raises(AdapterError, match="cannot be read: No such file"):
            trust(str(tmp_path / "ca.pem"))
        with pytest.raises(AdapterError, match="cannot be read: Is a directory"):
            trust(str(tmp_path))


def test_a_refused_certificate_is_found_behind_other_errors():
    refusal = ssl.SSLCertVerificationError("no")
    refusal.verify_message = "self-signed certificate"
    outer = OSError("could not connect")
    outer.__context__ = ValueError("wrapped")
    outer.__context__.__cause__ = refusal
    assert refused_certificate(outer) == "self-signed certificate"
    assert refused_certificate(OSError("no")) is None
