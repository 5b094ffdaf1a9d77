"""How a merged model is loaded with Transformers and asked: the lines that its card and its report show."""

import json

NO_LIBRARY = "neither Transformers nor vLLM by itself reads this layout"


def loading_code(place: str, *, images: bool, remote_code: bool = False) -> str:
    """Python that loads the model at `place`, and asks it one question.

    Args:
        place: a folder, or an id on the Hub.
        images: whether it sees; else it is a language model.
        remote_code: whether its code comes with it, as that of a model which Transformers does not have.
    """
    kind, loader = ("ImageTextToText", "Processor") if images else ("CausalLM", "Tokenizer")
    remote = ", trust_remote_code=True" if remote_code else ""
    question = '[{"type": "image", "url": "picture.jpg"}, {"type": "text", "text": "What is this?"}]'
    content = question if images else '"What is a merge?"'
    return f"""from transformers import AutoModelFor{kind}, Auto{loader}

place = {json.dumps(place, ensure_ascii=False)}
processor = Auto{loader}.from_pretrained(place{remote})
model = AutoModelFor{kind}.from_pretrained(place, dtype="auto"{remote})
messages = [{{"role": "user", "content": {content}}}]
inputs = processor.apply_chat_template(
    messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
).to(model.device)
answer = model.generate(**inputs, max_new_tokens=64, do_sample=False)
print(processor.decode(answer[0, inputs["input_ids"].shape[1]:], skip_special_tokens=True))"""
