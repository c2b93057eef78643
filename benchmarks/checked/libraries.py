"""Networks of torchvision, timm and transformers, as their authors initialize them.

The packages have to be installed; no weights are loaded. Images and words are noise, and each
network is trained for a few steps on its batch, to see that it can be.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from checked.registry import Batch, Build, Family, family, learnt

STEPS, RATE, LIMIT = 30, 1e-3, 30e6


def _trained(batch: Batch, optimizer: str, steps: int, seed: int) -> float:
    return learnt(batch, optimizer, min(steps, STEPS), seed, RATE)


def _pictures(make: Callable[[], nn.Module], size: int, number: int = 8) -> Build:
    """A classifier of images, with noise of their size."""

    def build() -> Batch:
        model = make()
        images = torch.randn(number, 3, size, size)
        with torch.no_grad():
            classes = model.eval()(images[:2]).shape[-1]
        return Batch(model.train(), images, torch.randint(classes, (number,)))

    return build


@family("torchvision")
def torchvision() -> Family:
    """Classification architectures, small ones first."""
    from torchvision import models  # noqa: PLC0415  not always wanted

    found = []
    for name in models.list_models(models):
        size = models.get_model_weights(name).DEFAULT.meta["num_params"]
        if size <= LIMIT:
            found.append((size, name))
    networks = {}
    for _, name in sorted(found):
        options = {"init_weights": True} if name in ("googlenet", "inception_v3") else {}
        pixels = 224 if name.startswith(("vit", "maxvit")) else 299 if "inception" in name else 64

        def make(name: str = name, options: dict[str, bool] = options) -> nn.Module:
            return models.get_model(name, **options)

        networks[name] = _pictures(make, pixels, 8 if pixels == 64 else 4)
    return Family(networks, _trained)


# One of each kind, of small size; "test_" are timm's own for trying things.
TIMM = """
test_vit test_vit2 test_vit3 test_vit4 test_resnet test_efficientnet test_efficientnet_gn
test_efficientnet_ln test_efficientnet_evos test_byobnet test_convnext test_convnext2 test_convnext3
test_mambaout test_nfnet resnet10t resnet18 resnetv2_18 resnext26ts seresnet18 regnetx_002
regnety_002 mobilenetv2_035 mobilenetv3_small_050 mobilenetv4_conv_small_035 efficientnet_lite0
mnasnet_small ghostnet_050 lcnet_035 tinynet_e dla46_c dla60x_c hardcorenas_a semnasnet_075
convnext_atto convnext_femto_ols convnextv2_atto edgenext_xx_small mobilevit_xxs mobilevitv2_050
levit_128s fastvit_t8 repvgg_a0 repvit_m0_9 starnet_s1 vit_tiny_patch16_224 deit_tiny_patch16_224
deit3_small_patch16_224 cait_xxs24_224 xcit_nano_12_p16_224 poolformer_s12 pvt_v2_b0
resmlp_12_224 mixer_s32_224 gmixer_12_224 crossvit_tiny_240 visformer_tiny tnt_s_legacy_patch16_224
nf_regnet_b0 eca_nfnet_l0 dm_nfnet_f0 skresnet18 selecsls42 ghostnetv2_100
swin_tiny_patch4_window7_224
"""


@family("timm")
def timm() -> Family:
    """One of each kind."""
    import timm as library  # noqa: PLC0415  not always wanted

    known = set(library.list_models())
    networks = {}
    for name in TIMM.split():
        if name not in known:
            continue
        settings = library.get_pretrained_cfg(name)
        fixed = settings is not None and settings.fixed_input_size
        size = settings.input_size[-1] if settings is not None else 224

        def make(name: str = name) -> nn.Module:
            return library.create_model(name, num_classes=10)

        networks[name] = _pictures(make, size if fixed else min(size, 96), 4 if fixed else 8)
    return Family(networks, _trained)


# Text, one answer a token or one for all; sizes as small as the kind allows.
TRANSFORMERS = {
    "gpt2": {"n_embd": 64, "n_layer": 3, "n_head": 4},
    "gpt_neo": {"hidden_size": 64, "num_layers": 3, "attention_types": [[["global"], 3]]},
    "gpt_neox": {}, "gptj": {"n_embd": 64, "n_layer": 3, "n_head": 4, "rotary_dim": 8},
    "opt": {"ffn_dim": 128, "word_embed_proj_dim": 64}, "bloom": {"n_layer": 3, "n_head": 4},
    "llama": {}, "mistral": {}, "qwen2": {}, "qwen3": {"head_dim": 16}, "gemma": {"head_dim": 16},
    "gemma2": {"head_dim": 16}, "phi": {}, "phi3": {"pad_token_id": 0}, "stablelm": {},
    "cohere": {}, "olmo": {}, "olmo2": {}, "granite": {}, "starcoder2": {},
    "mixtral": {"num_local_experts": 4},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2}, "mamba": {"num_hidden_layers": 3},
    "mamba2": {"num_heads": 8, "head_dim": 16, "n_groups": 1}, "bert": {}, "roberta": {},
    "electra": {"embedding_size": 64}, "albert": {"embedding_size": 32}, "deberta-v2": {},
    "xglm": {"d_model": 64, "ffn_dim": 128, "num_layers": 3, "attention_heads": 4},
}  # fmt: skip


@family("transformers")
def transformers() -> Family:
    """Language models; those that read both ways fill in what is masked."""
    import transformers as library  # noqa: PLC0415  not always wanted

    def build(kind: str, more: dict[str, Any]) -> Batch:
        sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "intermediate_size": 128, "vocab_size": 100}
        sizes |= {"max_position_embeddings": 64, "bos_token_id": 1, "eos_token_id": 2}
        settings = library.AutoConfig.for_model(kind, **{**sizes, **more})
        masked = kind in ("bert", "roberta", "electra", "albert", "deberta-v2")
        kinds = library.AutoModelForMaskedLM if masked else library.AutoModelForCausalLM
        ids = torch.randint(3, 100, (8, 16))
        model = kinds.from_config(settings).train()
        return Batch(model, {"input_ids": ids}, ids.roll(-1, dims=1))

    networks = {
        kind: lambda kind=kind, more=more: build(kind, more) for kind, more in TRANSFORMERS.items()
    }
    return Family(networks, _trained)
