"""Questions answered from a folder of documents, in Chinese and in English, each answer with its sources.

    nexusai serve                                    # in another terminal
    python examples/knowledge_base_rag.py [FOLDER]   # in a terminal it goes on with your own questions

The folder that comes with it tells of a lighthouse museum, in every format that a knowledge base takes. Run
it again, and the documents are recognised: only new ones are read. Without a provider, search is by words and
the embedded demonstration quotes what answers best, and says so.
"""

import sys
from pathlib import Path

from nexusai import NexusAIClient

FOLDER = Path(__file__).parent / "documents"
QUESTIONS = [
    "Who kept the light the longest?",
    "雾天守塔人怎么办？",
    "How is the lens cleaned?",
    "主灯熄灭以后，备用灯多久点亮？",
    "What does a family ticket cost?",
    "星期四谁值班？",
]


def knowledge_base(client, folder):
    """The one of this folder: as it was left, or a new one."""
    for base in client.knowledge_bases.list():
        if base.name == folder.name:
            return base
    return client.knowledge_bases.create(folder.name, chunk_size=400)


def fill(client, kb_id, folder):
    def tell(document):
        result = document.error or f"{document.chunk_count} chunks"
        print(f"  {document.filename}: {document.processing_status}, {result}")

    print(f"Reading {folder}:")
    client.knowledge_bases.upload_documents(kb_id, folder, on_progress=tell)


def ask(client, session, kb_id, question):
    print(f"\nyou: {question}")
    best = client.knowledge_bases.search(question, kb_id, top_k=1)
    for hit in best:
        print(f"     (the best of {best.mode}: {hit.metadata['filename']}, {hit.similarity_score:.2f})")
    answer = session.invoke(question)
    print(f"bot: {answer.text.strip()}")
    for citation in answer.citations or []:
        page = f", page {citation['page']}" if citation.get("page") else ""
        print(f"     [{citation['filename']}{page}] {citation['quote']}")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    with NexusAIClient() as client:
        base = knowledge_base(client, folder)
        fill(client, base.id, folder)
        session = client.sessions.create(agent_type="rag", knowledge_base_ids=[base.id])
        for question in QUESTIONS if folder == FOLDER else []:
            ask(client, session, base.id, question)
        while sys.stdin.isatty() and (question := input("\nyou (nothing ends it): ")):
            ask(client, session, base.id, question)
        session.delete()


if __name__ == "__main__":
    main()
