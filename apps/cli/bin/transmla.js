#!/usr/bin/env node
// A file of its own, because npm links commands at install time, before anything is built.
import "../dist/main.js";
