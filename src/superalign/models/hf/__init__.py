"""Hugging Face transformers as Trainables: loading, frozen features, full and LoRA finetuning, export."""
