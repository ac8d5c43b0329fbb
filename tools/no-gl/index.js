throw new Error("headless-gl is not installed in this repository; gpu.js runs without it.");
