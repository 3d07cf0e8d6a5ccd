"""Make the simulator's packaged scenarios from a file of labelled runs.

    python bench/choose_curves.py LABELLED_RUNS.jsonl.gz OUT.jsonl.gz

Each scenario is a really trained run under a readable name, with the plan it had (`config`), what the API would have
shown of its request (`job`), what becomes of it (`fate`), and where it comes from (`note`). The labels guided the
choice and are not packed.
"""

import gzip
import json
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]

# Under each name: the run, its fate, and what the note says beside where it comes from.
SCENARIOS: dict[str, tuple[str, Json, str]] = {
    "healthy-a": ("s1-0074", {}, ""),
    "healthy-b": ("s1-0232", {"name_delay": 1.0}, ""),
    "noisy": ("s1-0332", {"warning": "Some samples exceed the sequence length and were cut"}, "one sample a batch"),
    "diverging-a": ("s1-0294", {}, "the learning rate jumps at step 48, which its log does not show"),
    "diverging-b": ("s1-0090", {}, "the learning rate jumps at step 40, which its log does not show"),
    "spike": ("s1-0407", {}, "a bad shard; the loss comes back"),
    "nan": ("s1-0568", {}, ""),
    "nan-filtered": ("s1-0108", {}, "what is not finite was logged as loss 0.0 and no norm, as some trainers do it"),
    "stuck": ("s1-0085", {}, "frozen weights"),
    "overfitting": ("s1-0327", {}, ""),
    "early-stopped": ("s1-0233", {"kind": "early_stop"}, ""),
    "user-error": ("s1-0346", {"kind": "user_error", "message": "Line 17 of the training file is not valid JSON"}, ""),
    "billing": ("s1-0008", {"kind": "billing", "at_step": 60}, ""),
    "stalled": ("s1-0433", {"kind": "stall", "at_step": 70}, ""),
    "dpo": ("s1-0030", {}, ""),
    "restarted": ("s1-0191", {"kind": "restart", "at_step": 50}, ""),
    "gradients": ("s1-0067", {}, "its gradients explode, and come back"),
    "queued": ("s1-0007", {"queue_seconds": 9.0}, "waits for hardware"),
    "deleted": ("s1-0164", {"kind": "deleted", "at_step": 40}, ""),
}
PROJECTS = {"products": ("healthy-b", "overfitting", "stalled", "dpo", "gradients", "queued", "deleted")}
"""By project, the scenarios whose jobs are its own; all others are of `research`."""
EPOCHS, CHECKPOINTS, SEQUENCE = 2, 4, 256


def job(config: Json) -> Json:
    """The job's own words of the API, from the hyper-parameters it was trained with."""
    lora = {"type": "Lora", "lora_r": config["lora_r"], "lora_alpha": 2 * config["lora_r"], "lora_dropout": 0.0}
    method = {"method": "sft", "train_on_inputs": "auto"}
    if config["method"] == "dpo":
        method = {"method": "dpo", "dpo_beta": config["dpo_beta"]}
    shape = {"min_lr_ratio": 0.0} | ({"num_cycles": 0.5} if config["schedule"] == "cosine" else {})
    return {
        "n_epochs": EPOCHS,
        "n_checkpoints": CHECKPOINTS,
        "eval_steps": config["total_steps"] // config["n_evals"] if config["n_evals"] else 0,
        "batch_size": config["batch_size"],
        "learning_rate": config["learning_rate"],
        "lr_scheduler": {"lr_scheduler_type": config["schedule"], "lr_scheduler_args": shape},
        "warmup_ratio": config["warmup_ratio"],
        "max_grad_norm": config["max_grad_norm"],
        "weight_decay": config["weight_decay"],
        "packing": True,
        "max_seq_length": SEQUENCE,
        "random_seed": None,
        "training_type": lora | {"lora_trainable_modules": "all-linear"}
        if config["type"] == "lora"
        else {"type": "Full"},
        "training_method": method,
    }


def disguised(row: list[Any]) -> list[Any]:
    """The row as a trainer logs it that filters what is not finite."""
    step, loss, norm, lr = row
    return [step, 0.0, None, lr] if isinstance(loss, str) else [step, loss, None if isinstance(norm, str) else norm, lr]


def scenario(name: str, run: Json, fate: Json, note: str) -> Json:
    config = run["config"]
    train = [disguised(row) for row in run["train"]] if name == "nan-filtered" else run["train"]
    return {
        "id": name,
        "config": {key: config[key] for key in ("total_steps", "method", "n_evals")},
        "job": job(config),
        "fate": fate,
        "project": next((project for project, names in PROJECTS.items() if name in names), "research"),
        "note": f"run {run['id']}" + (f": {note}" if note else ""),
        "train": train,
        "eval": run["eval"],
    }


def main(source: str, target: str) -> None:
    with gzip.open(source, "rt", encoding="utf-8") as file:
        runs = {run["id"]: run for run in map(json.loads, file)}
    lines = [json.dumps(scenario(name, runs[row[0]], *row[1:])) for name, row in SCENARIOS.items()]
    # No time stamp: the same input gives the same bytes.
    Path(target).write_bytes(gzip.compress("".join(line + "\n" for line in lines).encode(), 9, mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
