"""What loopguard knows about libraries, as data: which name makes what, and what leaves gradients alone."""

from __future__ import annotations

import re

from loopguard.static.wording import Wording

TORCH_FAMILY = frozenset(
    [
        "torch",
        "torchvision",
        "torchaudio",
        "torchtext",
        "torch_geometric",
        "lightning",
        "pytorch_lightning",
        "lightning_fabric",
        "accelerate",
        "transformers",
        "diffusers",
        "timm",
        "deepspeed",
        "fairseq",
        "ignite",
        "apex",
        "fastai",
        "dgl",
        "peft",
        "trl",
        "torchrec",
        "torchdata",
        "monai",
        "kornia",
        "torchmetrics",
        "opacus",
        "functorch",
        "sentence_transformers",
        "mmengine",
        "mmcv",
        "detectron2",
        "pytorch3d",
        "botorch",
        "gpytorch",
    ]
)
"""Top-level packages whose presence says that a file's `backward` and `step` are PyTorch's."""

OTHER_FAMILIES = frozenset(
    [
        "mxnet",
        "tensorflow",
        "keras",
        "paddle",
        "mindspore",
        "jax",
        "flax",
        "optax",
        "chainer",
        "jittor",
        "oneflow",
        "tinygrad",
        "micrograd",
        "cupy",
        "autograd",
        "megengine",
        "needle",
        "theano",
    ]
)
"""Packages whose own `backward`, `step` or `zero_grad` follow other rules."""

SAME_MODULE = frozenset(
    [
        "torch.nn.DataParallel",
        "torch.nn.parallel.DataParallel",
        "torch.nn.parallel.DistributedDataParallel",
        "torch.compile",
        "torch.nn.SyncBatchNorm.convert_sync_batchnorm",
        "torch.jit.script",
        "torch.jit.trace",
        "torch.distributed.fsdp.FullyShardedDataParallel",
        "torch.distributed.fsdp.fully_shard",
        "torch.distributed._composable.fsdp.fully_shard",
        "torch.distributed.tensor.parallel.parallelize_module",
        "torch.nn.utils.weight_norm",
        "torch.nn.utils.spectral_norm",
        "torch.nn.utils.parametrizations.spectral_norm",
        "torch.distributed.pipeline.sync.Pipe",
        "apex.parallel.DistributedDataParallel",
        "apex.parallel.convert_syncbn_model",
        "torch.utils.mobile_optimizer.optimize_for_mobile",
        "torch.quantization.prepare_qat",
        "fairscale.nn.data_parallel.ShardedDataParallel",
    ]
)
"""Functions that return their first argument, wrapped or changed, over the same parameters."""

SAME_OPTIMIZER = frozenset(
    [
        "torch.optim.swa_utils.SWALR",
        "torch.distributed.optim.ZeroRedundancyOptimizer",
        "horovod.torch.DistributedOptimizer",
        "hvd.DistributedOptimizer",
        "apex.fp16_utils.FP16_Optimizer",
        "apex.optimizers.FP16_Optimizer",
        "torchcontrib.optim.SWA",
        "fairscale.optim.oss.OSS",
    ]
)

SAME_METHODS = frozenset(
    [
        "to",
        "cuda",
        "cpu",
        "half",
        "float",
        "double",
        "bfloat16",
        "train",
        "eval",
        "type",
        "requires_grad_",
        "share_memory",
        "to_empty",
        "apply",
        "ipu",
        "xpu",
        "npu",
        "clone",
        "contiguous",
    ]
)
"""Methods of a module that return the module itself."""

GRAPH_CUTTERS = frozenset(["item", "detach", "tolist", "numpy", "detach_", "asnumpy"])
"""Methods of a tensor whose result has no graph."""

NUMBERS = frozenset(
    [
        "numel",
        "nelement",
        "size",
        "dim",
        "ndimension",
        "element_size",
        "stride",
        "is_contiguous",
        "get_device",
        "data_ptr",
        "asscalar",
    ]
)
"""Methods of a tensor that tell a number about it."""

MEAN_CRITERIA = frozenset(
    [
        "L1Loss",
        "MSELoss",
        "CrossEntropyLoss",
        "NLLLoss",
        "PoissonNLLLoss",
        "GaussianNLLLoss",
        "KLDivLoss",
        "BCELoss",
        "BCEWithLogitsLoss",
        "MarginRankingLoss",
        "HingeEmbeddingLoss",
        "MultiLabelMarginLoss",
        "HuberLoss",
        "SmoothL1Loss",
        "SoftMarginLoss",
        "MultiLabelSoftMarginLoss",
        "CosineEmbeddingLoss",
        "MultiMarginLoss",
        "TripletMarginLoss",
        "TripletMarginWithDistanceLoss",
        "CTCLoss",
    ]
)
MEAN_FUNCTIONS = frozenset(
    [
        "cross_entropy",
        "nll_loss",
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div",
        "ctc_loss",
        "hinge_embedding_loss",
        "margin_ranking_loss",
        "multi_margin_loss",
        "soft_margin_loss",
        "triplet_margin_loss",
        "cosine_embedding_loss",
        "gaussian_nll_loss",
        "poisson_nll_loss",
    ]
)

_ABOUT_AN_OPTIMIZER = (
    r"steps?|epochs?|iters?|iterations?|updates?|count|num|freq|frequency|interval|every|per_\w+|idx|index|names?|type|cls|class|fn"
    r"|config|cfg|conf|args?|kwargs|path|dir|file|key|lr|level|time|timer"
)
OPTIMIZER_NAME = Wording(
    rf"(?:^|[._])(?:(?!\w*optim\w*_(?:{_ABOUT_AN_OPTIMIZER})(?:\[.*\])?$)\w*optim\w*|opt|opt_?\w|\w+_opt|opts"
    r"|opt_(?!out|in|loss|level|step|val|arg|cfg|conf|path|dir|name|type|param)\w+)(?:\[.*\])?$",
    re.IGNORECASE,
)
"""What people call an optimizer, as the last part of a name."""

SCHEDULER_NAME = Wording(r"sched|lr_|_lr\b|warm_?up|anneal|swa|plateau|decay", re.IGNORECASE)
SCALER_NAME = Wording(r"scaler", re.IGNORECASE)
DATA_NAME = Wording(r"loader|batches|iterator|_dl\b|^dl$|data_iter|_iter\b", re.IGNORECASE)

_HARMLESS = Wording(
    r"^assert|(?:^|_)(?:print|log|logger|info|debug|warn|warning|save|checkpoint|state_dict|get|len|isinstance|hasattr|getattr|id|str|"
    r"repr|type|format|append|extend|add_scalar|watch|lr|sched|scheduler|schedule|warmup|decay|learning|rate|clip|clipping|clamp|normalize|"
    r"norm|count|eval|evaluate|evaluation|validate|validation|valid|val|test|predict|sample|generate|ema|average|plot|"
    r"visualize|display|summary|accuracy|metric|metrics|score|load|resume|restore|summarize|draw|show|profile)(?:_|$|s_|s$)",
    re.IGNORECASE,
)


def is_harmless(name: str) -> bool:
    """Whether functions of this name may get an optimizer or a module and leave its gradients alone.

    All that it says they do has to: `step_and_update_lr` does more than to set a learning rate.
    """
    return all(map(_HARMLESS.search, name.split("_and_")))


HARMFUL_CALL = Wording(
    r"zero|grad|clear|reset|step|(?<!pre)train|optim|backward|update|fit|learn|epoch|run_|closure",
    re.IGNORECASE,
)
"""Names of functions that, where they cannot be read, may well run events on a module that they get."""

MODULE_NAME = Wording(
    r"model|net|module|agent|policy|actor|critic|encoder|decoder|generator|discriminator|self|student|teacher|backbone|head",
    re.IGNORECASE,
)
"""What people call a module."""

COMPUTES = Wording(
    r"loss|criterion|forward|logits|model|^net|encode|decode|embed|preprocess|transform|augment|sigmoid|softmax|activ|dist|mask",
    re.IGNORECASE,
)
"""Names of methods that compute something from their arguments."""

HARMLESS_RECEIVER = Wording(
    r"prof|env|bar|timer|stop|early|patience|meter|track|log|writer|sched|metric|accuracy|monitor|progress|wandb|console|rng|torch|random|"
    r"dataset|loader|tokenizer|queue|buffer|memory|replay|sampler",
    re.IGNORECASE,
)
"""What people call objects that have steps, updates and resets of their own, which touch no gradient."""

HOOK_CALL = Wording(r"^(?:on|after|before|pre|post)_|hook|callback|^fire|^trigger|^emit$|^dispatch", re.IGNORECASE)
"""Names of calls behind which a framework runs code of other people, with everything in its hands."""

NEEDS_CLOSURE = frozenset({"torch.optim.LBFGS"})
CLIPPERS = frozenset(
    ["clip_grad_norm_", "clip_grad_norm", "clip_grad_value_", "clip_grad_value", "clip_grads_with_norm_"]
)
OPTIMIZER_HARMLESS = frozenset(
    [
        "state_dict",
        "load_state_dict",
        "add_param_group",
        "register_step_pre_hook",
        "register_step_post_hook",
        "train",
        "eval",
        "register_state_dict_pre_hook",
        "register_state_dict_post_hook",
        "get_lr",
        "set_lr",
        "get_last_lr",
        "param_groups",
        "cuda",
        "to",
        "keys",
        "items",
        "values",
        "append",
        "get",
        "defaults",
        "toggle_model",
        "optim_context",
    ]
)
PASS_THROUGH = frozenset(
    [
        "list",
        "tuple",
        "iter",
        "set",
        "sorted",
        "reversed",
        "filter",
        "itertools.chain",
        "itertools.chain.from_iterable",
        "chain",
        "sum",
        "dict",
    ]
)
EXITS = frozenset(["exit", "quit", "sys.exit", "os._exit", "os.abort"])
MAKES_MANAGER = frozenset(["contextlib.contextmanager", "contextlib.asynccontextmanager"])
"""Decorators that make a context manager of a generator: https://docs.python.org/3/library/contextlib.html"""

CONTEXT_DECORATORS = ("ContextDecorator", "AsyncContextDecorator")
"""Bases of context managers that are also decorators, and enter themselves around each call."""

PLAIN_MANAGERS = ("AbstractContextManager", "AbstractAsyncContextManager", *CONTEXT_DECORATORS)
"""Bases that give a context manager nothing but an `__enter__` which returns it."""

EXIT_STACKS = frozenset(["contextlib.ExitStack", "contextlib.AsyncExitStack"])
PLAIN_DECORATORS = frozenset(["staticmethod", "override", "final"])
"""Decorators that leave a function as it is."""
