"""What the routes under `/v1` keep: responses, conversations, the purposes of files"""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    responses()
    conversations()
    files()


def responses() -> None:
    pass


def conversations() -> None:
    pass


def files() -> None:
    pass
