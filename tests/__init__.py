"""Tests of pymc_sgld."""
