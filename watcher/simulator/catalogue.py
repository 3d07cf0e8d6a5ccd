"""What the service says beside jobs: which projects there are, limits and price estimates."""

from typing import Any

from watcher.simulator.answers import DEFAULT_MODEL

ORGANIZATION = {"id": "org_simulated", "name": "Simulated organization"}
PROJECT = {"id": "proj_simulated", "name": "Simulated project", "slug": "simulated"}

PROJECTS: dict[str, Any] = {
    "data": [PROJECT | {"organization_id": ORGANIZATION["id"], "organization_name": ORGANIZATION["name"]}],
    "next_cursor": None,
}

_TOKENS = 4_000_000
_DOLLARS_PER_MILLION_TOKENS = 0.48
_MINIMUM_DOLLARS = 4.0
_BATCHES = {"min_batch_size": 1, "max_batch_size": 64, "max_batch_size_dpo": 32}


def estimate(wanted: dict[str, Any]) -> dict[str, Any]:
    """A price in dollars (not nano-dollars, unlike the job's) for a made-up number of tokens an epoch."""
    epochs, evals = _count(wanted, "n_epochs", 1), _count(wanted, "n_evals", 0)
    train, held_out = epochs * _TOKENS, evals * _TOKENS // 100
    price = max(_MINIMUM_DOLLARS, (train + held_out) / 1e6 * _DOLLARS_PER_MILLION_TOKENS)
    return {
        "estimation_available": True,
        "estimated_total_price": round(price, 2),
        "allowed_to_proceed": True,
        "user_limit": 100.0,
        "estimated_train_token_count": train,
        "estimated_eval_token_count": held_out,
    }


def _count(wanted: dict[str, Any], key: str, default: int) -> int:
    value = wanted.get(key)
    return value if isinstance(value, int) else default


def limits(model_name: str = DEFAULT_MODEL) -> dict[str, Any]:
    """What may be asked of a job on this model: generous, so that any recorded run can be created again."""
    return {
        "model_name": model_name,
        "max_num_epochs": 20,
        "max_num_evals": 100,
        "max_num_checkpoints": 20,
        "max_learning_rate": 1.0,
        "min_learning_rate": 1e-8,
        "max_seq_length_sft": 8192,
        "max_seq_length_dpo": 8192,
        "min_max_seq_length": 64,
        "default_gradient_accumulation_steps": 1,
        "merge_output_lora": True,
        "supports_full_training": True,
        "supports_reasoning": False,
        "supports_tools": False,
        "supports_vision": False,
        "full_training": dict(_BATCHES),
        "lora_training": _BATCHES | {"max_rank": 64, "target_modules": ["all-linear"]},
    }
