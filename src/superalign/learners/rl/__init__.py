"""Reinforcement learning from any overseer's judgments: supervised start, reward model, PPO, GRPO, RLOO, DPO, best-of-n.

Source: Ouyang et al. 2022 (InstructGPT, arXiv 2203.02155), Ziegler et al. 2019 (arXiv 1909.08593).
"""
