from __future__ import annotations

import re
from pathlib import Path

import pytest

import nexusai
from nexusai import client
from scripts import generate_docs
from scripts.generate_docs import sdk

PACKAGE = Path(nexusai.__file__).parent
NOT_THE_SDK = ("server", "providers", "cli", "testing.py")


def classes():
    clients = {name: getattr(client, name) for name in client.__all__}
    twins = {
        f"Async{name}": sdk.asynchronous(kind)
        for name, kind in [*sdk.objects().items(), *sdk.answers().items()]
    }
    found = {**clients, **sdk.resource_classes(), **sdk.answers(), **sdk.objects(), **sdk.errors(), **twins}
    return {name: kind for name, kind in found.items() if kind}


def bare(documented):
    return [name for name, doc in documented if not doc.strip()]


def test_the_committed_reference_is_what_the_code_says():
    assert generate_docs.PATH.read_text("utf-8") == generate_docs.text(), "run: make docs"


def test_every_link_in_it_leads_to_a_heading():
    page = generate_docs.text()
    slugs = [re.sub(r"[^\w\- ]", "", title.lower()) for title in re.findall(r"^#+ (.+)$", page, re.M)]
    anchors = {
        slug.replace(" ", "-") + (f"-{before}" if (before := slugs[:place].count(slug)) else "")
        for place, slug in enumerate(slugs)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= anchors


def test_a_name_in_a_docstring_leads_to_its_section():
    page = generate_docs.text()
    assert "Raises [`NotFoundError`](#notfounderror)." in page
    assert "[`SessionHistory`](#sessionhistory-1)" in page


def test_it_has_every_resource_and_every_method():
    page = generate_docs.text()
    for name, kind in sdk.resource_classes().items():
        assert all(f"#### `client.{name}.{member.name}`" in page for member in sdk.members(kind)), name


def test_every_resource_of_the_client_is_found():
    assert set(sdk.resource_classes()) == {
        member.name for member in sdk.members(client.NexusAIClient) if member.kind
    }


@pytest.mark.parametrize("name", classes())
def test_a_public_class_is_documented(name: str):
    assert sdk.docstring(classes()[name])


@pytest.mark.parametrize("name", classes())
def test_every_public_method_and_property_is_documented(name: str):
    members = [member for member in sdk.members(classes()[name]) if member.name not in sdk.resource_classes()]
    assert bare((member.name, member.doc) for member in members) == []


@pytest.mark.parametrize("name", sdk.answers())
def test_every_field_of_an_answer_is_described(name: str):
    assert bare((field.name, field.doc) for field in sdk.fields_of(sdk.answers()[name])) == []


@pytest.mark.parametrize("name", sdk.options())
def test_every_option_is_described(name: str):
    assert bare((option.name, option.doc) for option in sdk.fields_of(sdk.options()[name])) == []


def test_every_setting_constant_and_type_is_described():
    listed = [*sdk.settings(), *sdk.defaults(), *sdk.aliases()]
    assert bare((each.name, each.doc) for each in listed) == []


def test_every_variable_that_the_sdk_reads_is_listed():
    files = [path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in NOT_THE_SDK]
    read = {name for file in files for name in re.findall(r'"(NEXUS_[A-Z_]+)"', file.read_text("utf-8"))}
    assert read - {f"NEXUS_{setting.name.upper()}" for setting in sdk.settings()} == {
        *generate_docs.OTHER_VARIABLES
    }
