"""Parity with transformers on random weights: same checkpoint, two implementations, equal tokens.

The oracle is used as its users do: one stream per generate() call, fed by a generator of mel chunks.
"""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from realtime.engine.runner import Runner
from realtime.model import weights
from realtime.model.mel import LogMel
from realtime.model.state import Rows
from realtime.model.voxtral import Prompt
from tests import checkpoints, signals

transformers = pytest.importorskip("transformers")

LEFT, BOS, PAD = checkpoints.LEFT_PAD, checkpoints.BOS, checkpoints.PAD
PROMPT = Prompt(BOS, PAD, LEFT)
SECONDS = (11.0, 8.0, 6.0)
DELAYS = (6, 3, 12)
STARTS = (0, 17, 40)  # ticks at which the three streams join
VOCAB = 600


@pytest.fixture(scope="module", autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def oracle():
    """A transformers model with 2 + 2 layers and windows that wrap many times within the test."""
    audio = dict(
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        head_dim=16,
        num_mel_bins=128,
        sliding_window=75,
        rope_theta=1e6,
        rms_norm_eps=1e-5,
    )
    text = dict(
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=VOCAB,
        sliding_window=50,
        rope_theta=1e6,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
    )
    config = transformers.VoxtralRealtimeConfig(audio_config=audio, text_config=text)
    model = transformers.VoxtralRealtimeForConditionalGeneration._from_config(
        config, dtype=torch.float32
    ).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 11
    return randomise(model)


def randomise(model, seed: int = 0):
    """Fan-in scaled noise; norms and biases too, so that every parameter matters."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name and "ada" not in name:
            noise = 1 + 0.2 * noise
        elif name.endswith("bias"):
            noise = 0.2 * noise
        elif "embed_tokens" in name:
            noise = 0.3 * noise
        else:
            noise = noise * (0.5 if "ada" in name else 2.0) / math.sqrt(parameter[0].numel())
        parameter.data.copy_(noise)
    return model


@pytest.fixture(scope="module")
def folders(oracle, tmp_path_factory):
    """The same weights in both layouts: (native, Hugging Face)."""
    hf = tmp_path_factory.mktemp("hf")
    oracle.save_pretrained(hf)
    native = tmp_path_factory.mktemp("native")
    tensors = to_native(load_file(hf / "model.safetensors"))
    save_file(tensors, native / "consolidated.safetensors")
    encoder = dict(dim=48, n_layers=2, head_dim=16, hidden_dim=96, n_heads=4, n_kv_heads=4, sliding_window=75)
    decoder = dict(dim=64, n_layers=2, head_dim=16, hidden_dim=96, n_heads=6, n_kv_heads=2, sliding_window=50)
    tree = checkpoints.params(VOCAB, decoder, encoder, ada_dim=32)
    (native / "params.json").write_text(json.dumps(tree))
    return native, hf


def to_native(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Written from the specification's row formula, independent of the loader's permutation."""
    renamed = {}
    for name, tensor in tensors.items():
        native = weights.hf_to_native(name)
        if not native:
            continue
        heads = 0
        if ".attention.wq." in native:
            heads = 4 if "whisper_encoder" in native else 6
        elif ".attention.wk." in native:
            heads = 4 if "whisper_encoder" in native else 2
        if heads:
            dim = tensor.shape[0] // heads
            rows = [0] * tensor.shape[0]
            for head in range(heads):
                for pair in range(dim // 2):
                    for part in (0, 1):
                        rows[head * dim + 2 * pair + part] = head * dim + part * dim // 2 + pair
            tensor = tensor[rows]
        renamed[native] = tensor.contiguous()
    return renamed


@pytest.fixture(scope="module")
def model(folders):
    return weights.load(folders[0])


@pytest.fixture(scope="module")
def mels(oracle):
    """Three recordings as transformers' own feature extractor sees them, padded as it asks: [1, 128, 8 T]."""
    extractor = transformers.VoxtralRealtimeFeatureExtractor(
        feature_size=128, n_fft=400, win_length=400, hop_length=160
    )
    out = []
    for seed, (seconds, delay) in enumerate(zip(SECONDS, DELAYS, strict=True)):
        samples = signals.babble(seconds, seed)
        right = -len(samples) % 1280 + (delay + 11) * 1280
        padded = np.concatenate([np.zeros(LEFT * 1280, np.float32), samples, np.zeros(right, np.float32)])
        out.append(extractor._torch_extract_fbank_features(torch.from_numpy(padded)[None], center=True))
    return out


def test_both_layouts_load_to_the_same_function(folders):
    native, hf = (weights.load(folder).state_dict() for folder in folders)
    assert native.keys() == hf.keys()
    assert all(torch.equal(native[name], hf[name]) for name in native)


def test_mel_equals_the_feature_extractor(mels, model):
    samples = signals.babble(SECONDS[0], 0)
    padded = np.concatenate([np.zeros(LEFT * 1280 + 200, np.float32), samples])
    ours = LogMel(model.args.audio)(torch.from_numpy(padded)[None])
    assert (ours - mels[0][..., : ours.shape[-1]]).abs().max() < 2e-6


def test_offline_encoder_parity(oracle, model, mels):
    theirs = oracle.model.get_audio_features(input_features=mels[0], use_cache=False)
    ours = model.encode_whole(mels[0])
    assert ours.shape[1] > 3 * 75
    assert (ours - theirs.last_hidden_state).abs().max() < 1e-4
    assert (model.adapter(ours) - theirs.pooler_output.reshape(1, -1, 64)).abs().max() < 1e-4


def test_streaming_encoder_parity(oracle, model, mels):
    """Tick by tick through the ring = transformers' offline pass, over ten encoder windows."""
    theirs = oracle.model.get_audio_features(input_features=mels[0], use_cache=False).pooler_output.reshape(
        -1, 64
    )
    state = model.new_state(1)
    state.clear(0, 6, BOS)
    rows = Rows(torch.zeros(1, dtype=torch.int64), prefix=True)
    heard = []
    for frame in frames_of(0, LEFT - 1):
        heard.append(model._hear(state, rows, torch.from_numpy(frame)[None])[0, 0])
        state.position += 1
    ours = torch.stack(heard)
    count = len(ours) - 1  # transformers reflects at the right edge of the whole recording
    assert (ours[:count] - theirs[:count]).abs().max() < 1e-4


def frames_of(k: int, leading_silence: int = 0) -> np.ndarray:
    """Recording k on the engine's grid, with all its padding, optionally behind the template's silence."""
    frames = signals.frames(signals.babble(SECONDS[k], k), silent_frames=DELAYS[k] + 11)
    return np.concatenate([np.zeros((leading_silence, 1280), np.float32), frames])


@pytest.fixture(scope="module")
def their_tokens(oracle, mels):
    """Streaming generate(), one recording after another."""
    return [streaming_generate(oracle, mel, delay) for mel, delay in zip(mels, DELAYS, strict=True)]


def streaming_generate(oracle, mel: torch.Tensor, delay: int) -> list[int]:
    prompt = [BOS] + [PAD] * (LEFT + delay)

    def chunks():
        yield mel[..., : 8 * len(prompt)]
        for start in range(8 * len(prompt), mel.shape[-1], 8):
            yield mel[..., start : start + 8]

    ids = oracle.generate(
        input_ids=torch.tensor([prompt]), input_features=chunks(), num_delay_tokens=delay, do_sample=False
    )
    return ids[0, len(prompt) :].tolist()


def test_streaming_tokens_equal_for_mixed_ages_and_delays(model, their_tokens):
    """Three sessions that joined at different ticks with different delays share every batch."""
    runner = Runner(model, PROMPT, slots=3)
    frames = [frames_of(k) for k in range(3)]
    done: list[list[int]] = [[], [], []]
    for tick in range(max(start + len(f) for start, f in zip(STARTS, frames, strict=True))):
        present = [k for k in range(3) if STARTS[k] <= tick < STARTS[k] + len(frames[k])]
        for k in present:
            if tick == STARTS[k]:
                runner.reset(k, DELAYS[k])
        if not present:
            continue
        tokens, _ = runner.step(present, np.stack([frames[k][tick - STARTS[k]] for k in present]))
        for k, token in zip(present, tokens, strict=True):
            done[k].append(token)
    for k in range(3):
        ours = done[k][DELAYS[k] + 1 :]
        count = min(len(ours), len(their_tokens[k]))
        assert count > 70
        assert len(set(ours)) > 20
        assert ours[:count] == their_tokens[k][:count]


def test_offline_tokens_equal(oracle, model, mels, their_tokens):
    """transformers' offline generate() = our offline pass, teacher-forced with its tokens."""
    prompt = [BOS] + [PAD] * (LEFT + DELAYS[0])
    ids = oracle.generate(
        input_ids=torch.tensor([prompt]), input_features=mels[0], num_delay_tokens=DELAYS[0], do_sample=False
    )
    tokens = ids[0].tolist()
    logits = model(mels[0][..., : 8 * len(tokens)], torch.tensor([tokens]), DELAYS[0])
    assert logits[0].argmax(-1)[len(prompt) - 1 : -1].tolist() == tokens[len(prompt) :]


def test_a_wrong_delay_is_noticed(model, their_tokens):
    """Negative control: the delay scale matters, so that equality above is no accident."""
    runner = Runner(model, PROMPT, slots=1)
    runner.reset(0, DELAYS[1])
    wrong = [runner.step([0], frame[None])[0][0] for frame in frames_of(0)][DELAYS[0] + 1 :]
    count = min(len(wrong), len(their_tokens[0]))
    assert wrong[:count] != their_tokens[0][:count]
